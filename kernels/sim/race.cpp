// Bounds and races of instrumented kernels. They are compiled with -fsanitize=thread but linked with the callbacks below
// instead of a sanitizer's library: each access is looked up in what a thread may touch, then in a shadow of the memory that
// remembers the last writer and two readers of each word with their barrier and warp epochs.
#include "block.h"
#include <dlfcn.h>
#include <unordered_map>

namespace sim {

// Who touched a word, and when.
struct Touch {
    u32 launch, epoch, warp_epoch;
    u32 thread;
    u64 block_number;
};
struct Cell {
    Touch writer, readers[2];
};

// A shadow of memory in cells of BYTES bytes.
template <u32 BYTES> struct Shadow {
    static const size_t PAGE = 4096;
    struct Page { Cell cells[PAGE / BYTES]; };
    std::unordered_map<uintptr_t, Page*> pages;
    uintptr_t last_key = ~uintptr_t(0);
    Page* last = nullptr;

    // The cell of an address; null where nothing was touched and none is to be made.
    Cell* find(uintptr_t address, bool make) {
        const uintptr_t key = address / PAGE;
        if (key != last_key) {
            auto found = pages.find(key);
            if (found == pages.end()) {
                if (!make) return nullptr;
                found = pages.emplace(key, new Page()).first;
            }
            last_key = key;
            last = found->second;
        }
        return &last->cells[address % PAGE / BYTES];
    }
};

// Accesses of whole words and of parts of words are remembered apart, so that neighbours in one word are no race.
static Shadow<4> words;
static Shadow<1> bytes_of_words;
extern "C" char __executable_start, end;

// True when `touch` came before the current access of the current thread, by a barrier or in its own thread.
static bool is_ordered(const Touch& touch, bool shared) {
    if (touch.launch != block.launch) return true;
    if (touch.block_number != block.number) return shared;  // shared memory passes from block to block
    if (touch.thread == block.current || touch.epoch < block.epoch) return true;
    const u32 warp = block.current / WARP;
    return touch.thread / WARP == warp && touch.warp_epoch < block.warps[warp].epoch;
}

static size_t in_program(const void* code) {
    Dl_info info;
    if (!code || !dladdr(code, &info)) return 0;
    return size_t(static_cast<const char*>(code) - static_cast<const char*>(info.dli_fbase));
}

[[noreturn]] static void report(const Touch& touch, const char* former, const char* now, uintptr_t address, const void* code) {
    const void* place = reinterpret_cast<const void*>(address);
    size_t offset = 0;
    const SharedArray* array = shared_array_at(place, 1);
    const char* name = array ? "a shared array" : buffer_at(place, 1, &offset);
    if (array) offset = size_t(address - reinterpret_cast<uintptr_t>(array->start));
    fail("race at byte %zu of %s: %s here (code +%#zx) and %s by thread %u of block %llu are not ordered", offset, name, now,
         in_program(code), former, touch.thread, touch.block_number);
}

static void compare(const Cell& cell, uintptr_t address, bool write, bool shared, const void* code) {
    const char* now = write ? "a write" : "a read";
    if (!is_ordered(cell.writer, shared)) report(cell.writer, "a write", now, address, code);
    if (!write) return;
    for (const Touch& reader : cell.readers)
        if (!is_ordered(reader, shared)) report(reader, "a read", now, address, code);
}

static void remember(Cell& cell, bool write) {
    const Touch now = {block.launch, block.epoch, block.warps[block.current / WARP].epoch, block.current, block.number};
    if (write) {
        cell.writer = now;
        return;
    }
    const Touch& last = cell.readers[0];
    const bool mine = last.launch == now.launch && last.thread == now.thread && last.block_number == now.block_number;
    if (!mine) cell.readers[1] = last;
    cell.readers[0] = now;
}

static void check_word(uintptr_t address, bool write, bool shared, const void* code) {
    Cell* cell = words.find(address, true);
    compare(*cell, address, write, shared, code);
    remember(*cell, write);
    if (bytes_of_words.pages.empty()) return;
    for (uintptr_t byte = address; byte < address + 4; byte++)
        if (const Cell* part = bytes_of_words.find(byte, false)) compare(*part, byte, write, shared, code);
}

static void check_byte(uintptr_t address, bool write, bool shared, const void* code) {
    Cell* cell = bytes_of_words.find(address, true);
    compare(*cell, address, write, shared, code);
    remember(*cell, write);
    if (const Cell* word = words.find(address / 4 * 4, false)) compare(*word, address, write, shared, code);
}

static bool in_image(const void* address) { return address >= &__executable_start && address < &end; }

void check_access(const void* address, size_t bytes, bool write, const void* code) {
    if (!block.running || on_stack(block.threads[block.current].fiber, address)) return;
    if (in_image(address) || is_parameter(address)) {
        const bool constant = !shared_array_at(address, bytes);
        if (constant && write) fail("writes to the program's own data (code +%#zx)", in_program(code));
        if (constant) return;
    }
    tick();
    const bool shared = shared_array_at(address, bytes) != nullptr;
    size_t offset;
    if (!shared && !buffer_at(address, bytes, &offset)) {
        fail("%s of %zu bytes at %p, which is no part of any buffer (code +%#zx)", write ? "a write" : "a read", bytes, address,
             in_program(code));
    }
    const uintptr_t first = reinterpret_cast<uintptr_t>(address);
    if (first % 4 || bytes % 4) {
        for (uintptr_t byte = first; byte < first + bytes; byte++) check_byte(byte, write, shared, code);
    } else {
        for (uintptr_t word = first; word < first + bytes; word += 4) check_word(word, write, shared, code);
    }
}

}  // namespace sim

using sim::check_access;

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define ACCESS(name, bytes, write) \
    void __tsan_##name(void* address) { check_access(address, bytes, write, __builtin_return_address(0)); }
#define BOTH(bytes)                          \
    ACCESS(read##bytes, bytes, false)        \
    ACCESS(write##bytes, bytes, true)        \
    ACCESS(unaligned_read##bytes, bytes, false) \
    ACCESS(unaligned_write##bytes, bytes, true)
BOTH(1)
BOTH(2)
BOTH(4)
BOTH(8)
BOTH(16)

void __tsan_read_range(void* address, size_t bytes) { check_access(address, bytes, false, __builtin_return_address(0)); }
void __tsan_write_range(void* address, size_t bytes) { check_access(address, bytes, true, __builtin_return_address(0)); }
}
