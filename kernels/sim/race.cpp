// Bounds and races of instrumented kernels. They are compiled with -fsanitize=thread but linked with the callbacks below
// instead of a sanitizer's library: each access is looked up in what a thread may touch, then in a shadow of the memory.
#include "block.h"
#include "shadow.h"
#include <dlfcn.h>

namespace sim {

// Accesses of whole words and of parts of words are remembered apart, so that neighbours in one word are no race.
static Shadow<4> words;
static Shadow<1> bytes_of_words;
extern "C" char __executable_start, end;

// An access of the current thread.
struct Access {
    bool write, shared;
    const void* code;
    Touch touch;

    const char* name() const { return write ? "a write" : "a read"; }
};

// True when `touch` came before the current access of the current thread, by a barrier or in its own thread.
static bool is_ordered(const Touch& touch, const Access& now) {
    // Shared memory passes from block to block.
    if (touch.turn < (now.shared ? block.turn : block.first_turn)) return true;
    if (touch.turn != block.turn) return false;
    if (touch.thread == now.touch.thread || touch.epoch < now.touch.epoch) return true;
    return touch.thread / WARP == now.touch.thread / WARP && touch.warp_epoch < now.touch.warp_epoch;
}

static size_t in_program(const void* code) {
    Dl_info info;
    if (!code || !dladdr(code, &info)) return 0;
    return size_t(static_cast<const char*>(code) - static_cast<const char*>(info.dli_fbase));
}

static const void* pointer(uintptr_t address) { return reinterpret_cast<const void*>(address); }

[[noreturn]] static void report(const Touch& former, const char* name, const Access& now, uintptr_t address) {
    const uint3 thread = block.threads[former.thread].index;
    const u64 number = number_of_turn(former.turn);
    fail("race at %s: %s here (code +%#zx) and %s by thread (%u,%u,%u) of block (%llu,%llu,%llu) are not ordered",
         describe(pointer(address)).c_str(), now.name(), in_program(now.code), name, thread.x, thread.y, thread.z,
         number % gridDim.x, number / gridDim.x % gridDim.y, number / (u64(gridDim.x) * gridDim.y));
}

static void compare(const Cell& cell, uintptr_t address, const Access& now) {
    if (!is_ordered(cell.writer, now)) report(cell.writer, "a write", now, address);
    if (!now.write) return;
    for (const Touch* reader : {&cell.last, &cell.other_lane, &cell.other_warp, &cell.other_block})
        if (!is_ordered(*reader, now)) report(*reader, "a read", now, address);
}

static void remember(Cell& cell, const Access& now) {
    if (now.write)
        cell.writer = now.touch;
    else
        cell.read(now.touch);
}

static bool is_written(const Cell* cell) { return cell && cell->writer.turn == block.turn; }

// Shared memory holds nothing until a thread of the block has written it; that of a copy counts from its issue on.
static void need_written(bool written, uintptr_t address, const Access& now) {
    if (!written && now.shared && !now.write)
        fail("a read (code +%#zx) of %s, which no thread of the block has written so far", in_program(now.code),
             describe(pointer(address)).c_str());
}

static void check_word(uintptr_t address, const Access& now) {
    Cell* cell = words.find(address, true);
    compare(*cell, address, now);
    remember(*cell, now);
    bool written = is_written(cell);
    for (uintptr_t byte = address; byte < address + 4 && !bytes_of_words.is_empty(); byte++)
        if (const Cell* part = bytes_of_words.find(byte, false)) {
            compare(*part, byte, now);
            written = written || is_written(part);
        }
    need_written(written, address, now);
}

static void check_byte(uintptr_t address, const Access& now) {
    Cell* cell = bytes_of_words.find(address, true);
    compare(*cell, address, now);
    remember(*cell, now);
    const Cell* word = words.find(address / 4 * 4, false);
    if (word) compare(*word, address, now);
    need_written(is_written(cell) || is_written(word), address, now);
}

// ---- shared memory that cp.async will write ------------------------------------------------------------------------------

static u8 flights_of_word[SHARED_ARENA / 4];
static u32 flights;

static size_t shared_word(const void* address) { return size_t(static_cast<const char*>(address) - shared_start) / 4; }

void begin_flight(const Copy& copy) {
    flights++;
    for (u32 word = 0; word < copy.bytes / 4; word++) flights_of_word[shared_word(copy.to) + word]++;
}

void end_flight(const Copy& copy) {
    flights--;
    for (u32 word = 0; word < copy.bytes / 4; word++) flights_of_word[shared_word(copy.to) + word]--;
}

void forget_flights() {
    if (flights) memset(flights_of_word, 0, sizeof flights_of_word);
    flights = 0;
}

static void check_flights(const void* address, size_t bytes, const Access& now) {
    const size_t last = shared_word(static_cast<const char*>(address) + bytes - 1);
    for (size_t word = shared_word(address); word <= last; word++)
        if (flights_of_word[word])
            fail("%s (code +%#zx) of %s, where a cp.async copy that nobody waited for may still write", now.name(),
                 in_program(now.code), describe(address).c_str());
}

// ---- accesses ------------------------------------------------------------------------------------------------------------

static bool is_constant(const void* address) {
    return (address >= &__executable_start && address < &end) || is_parameter(address);
}

void check_access(const void* address, size_t bytes, bool write, const void* code) {
    if (!block.running || on_stack(block.threads[block.current].fiber, address)) return;
    if (is_constant(address)) {
        if (write) fail("writes to the program's own data (code +%#zx)", in_program(code));
        return;
    }
    tick();
    Extent extent;
    if (!find_extent(address, bytes, &extent))
        fail("%s of %zu bytes at %p, which is no part of any buffer (code +%#zx): %s", write ? "a write" : "a read", bytes, address,
             in_program(code), describe(address).c_str());
    const Access now = {write, extent.is_shared, code,
                        {block.turn, block.epoch, block.warps[block.current / WARP].epoch, block.current}};
    const uintptr_t first = reinterpret_cast<uintptr_t>(address);
    if (first % 4 || bytes % 4) {
        for (uintptr_t byte = first; byte < first + bytes; byte++) check_byte(byte, now);
    } else {
        for (uintptr_t word = first; word < first + bytes; word += 4) check_word(word, now);
    }
    if (extent.is_shared && flights) check_flights(address, bytes, now);
}

}  // namespace sim

using sim::check_access;

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

#define ACCESS(name, bytes, write) \
    void __tsan_##name(void* address) { check_access(address, bytes, write, __builtin_return_address(0)); }
#define ACCESSES(bytes)                         \
    ACCESS(read##bytes, bytes, false)           \
    ACCESS(write##bytes, bytes, true)           \
    ACCESS(unaligned_read##bytes, bytes, false) \
    ACCESS(unaligned_write##bytes, bytes, true)
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

void __tsan_read_range(void* address, size_t bytes) { check_access(address, bytes, false, __builtin_return_address(0)); }
void __tsan_write_range(void* address, size_t bytes) { check_access(address, bytes, true, __builtin_return_address(0)); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}
