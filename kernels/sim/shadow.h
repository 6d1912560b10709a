// What instrumented accesses leave behind: for each word who wrote it last, and enough of its readers to tell whether a write
// races with any of them.
#pragma once
#include "device.h"
#include <unordered_map>

namespace sim {

// Who touched a word, and when.
struct Touch {
    u32 turn;  // of the block; 0: nobody
    u32 epoch, warp_epoch;
    u32 thread;
};

// If a reader is unordered with a write, so is one of these: a later reader is ordered only where an earlier one of its kind is.
struct Cell {
    Touch writer;
    Touch last, other_lane, other_warp, other_block;  // readers: the last one, and the last that differ from it

    void read(const Touch& now) {
        if (last.turn != now.turn)
            other_block = last;
        else if (last.thread / 32 != now.thread / 32)
            other_warp = last;
        else if (last.thread != now.thread)
            other_lane = last;
        last = now;
    }
};

// A shadow of memory in cells of BYTES bytes, made where it is first touched.
template <u32 BYTES> class Shadow {
    static const size_t PAGE = 4096, RECENT = 256;
    struct Page { Cell cells[PAGE / BYTES]; };
    struct Entry { uintptr_t key; Page* page; };
    std::unordered_map<uintptr_t, Page*> pages;
    Entry recent[RECENT] = {};

    Page* find_page(uintptr_t key, bool make) {
        const auto found = pages.find(key);
        if (found != pages.end()) return found->second;
        return make ? pages.emplace(key, new Page()).first->second : nullptr;
    }

  public:
    bool is_empty() const { return pages.empty(); }

    // The cell of an address; null where nothing was touched and none is to be made.
    Cell* find(uintptr_t address, bool make) {
        const uintptr_t key = address / PAGE;
        Entry& entry = recent[key % RECENT];
        if (entry.key != key || !entry.page) entry = {key, find_page(key, make)};
        return entry.page ? &entry.page->cells[address % PAGE / BYTES] : nullptr;
    }
};

}  // namespace sim
