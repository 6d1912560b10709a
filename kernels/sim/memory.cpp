// Device memory with guards and names, and the shared memory of the running block.
#include "block.h"
#include <cstdio>
#include <cstdlib>
#include <string>

namespace sim {

static const size_t GUARD = 256;
static const unsigned char GUARD_BYTE = 0xa5, FRESH_BYTE = 0xff;

struct Part {
    const char* start;
    size_t bytes;
    std::string name;
};
struct Allocation {
    char* start;
    size_t bytes;
    std::vector<Part> parts;
    size_t last_part;  // where the last search ended: accesses come in runs
};
static std::vector<Allocation> allocations;

template <class Range> static bool holds(const Range& range, const void* address, size_t bytes) {
    const size_t offset = size_t(static_cast<const char*>(address) - range.start);
    return offset < range.bytes && bytes <= range.bytes - offset;
}

static Allocation* allocation_at(const void* address, size_t bytes) {
    for (Allocation& allocation : allocations)
        if (holds(allocation, address, bytes)) return &allocation;
    return nullptr;
}

const char* buffer_at(const void* address, size_t bytes, size_t* offset) {
    Allocation* allocation = allocation_at(address, bytes);
    if (!allocation) return nullptr;
    if (allocation->parts.empty()) {
        *offset = size_t(static_cast<const char*>(address) - allocation->start);
        return "device memory";
    }
    const std::vector<Part>& parts = allocation->parts;
    for (size_t tried = 0; tried < parts.size(); tried++) {
        const size_t index = (allocation->last_part + tried) % parts.size();
        if (!holds(parts[index], address, bytes)) continue;
        allocation->last_part = index;
        *offset = size_t(static_cast<const char*>(address) - parts[index].start);
        return parts[index].name.c_str();
    }
    return nullptr;
}

static bool is_guard(const char* start, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (static_cast<unsigned char>(start[i]) != GUARD_BYTE) return false;
    return true;
}

bool check_guards(char* error, size_t size) {
    for (const Allocation& allocation : allocations) {
        const bool before = is_guard(allocation.start - GUARD, GUARD);
        if (before && is_guard(allocation.start + allocation.bytes, GUARD)) continue;
        snprintf(error, size, "%s: the guard bytes %s an allocation of %zu bytes were overwritten", block.name,
                 before ? "behind" : "before", allocation.bytes);
        return false;
    }
    return true;
}

// ---- shared memory: arrays one behind another with guard bytes between them, NaN at the start of a block -------------------

static const size_t SHARED_GAP = 64, SHARED_ARENA = MOST_SHARED + (64 << 10);
// Apart from the program's own data, so that a stray access does not pass for a constant.
static char* const shared_arena = static_cast<char*>(aligned_alloc(128, SHARED_ARENA));

static char* new_shared_array(const void* key, size_t bytes) {
    const size_t end = (block.shared_used + bytes + 2 * SHARED_GAP - 1) / SHARED_GAP * SHARED_GAP;
    size_t total = bytes;
    for (const SharedArray& array : block.shared) total += array.bytes;
    if (total > MOST_SHARED || end > SHARED_ARENA) fail("the block uses %zu bytes of shared memory, %zu are allowed", total, MOST_SHARED);
    char* start = shared_arena + block.shared_used;
    memset(start, FRESH_BYTE, bytes);
    memset(start + bytes, GUARD_BYTE, shared_arena + end - (start + bytes));
    block.shared.push_back({key, start, bytes});
    block.shared_used = end;
    return start;
}

void clear_shared(size_t dynamic_shared) {
    block.shared.clear();
    block.shared_used = 0;
    if (dynamic_shared) new_shared_array(nullptr, dynamic_shared);
}

void check_shared_gaps() {
    for (size_t i = 0; i < block.shared.size(); i++) {
        const char* end = block.shared[i].start + block.shared[i].bytes;
        const char* next = i + 1 < block.shared.size() ? block.shared[i + 1].start : shared_arena + block.shared_used;
        if (is_guard(end, size_t(next - end))) continue;
        block.failed = true;
        snprintf(block.error, sizeof block.error, "%s, block (%u,%u,%u): wrote past the end of shared array %zu (%zu bytes)",
                 block.name, blockIdx.x, blockIdx.y, blockIdx.z, i, block.shared[i].bytes);
    }
}

const SharedArray* shared_array_at(const void* address, size_t bytes) {
    for (const SharedArray& array : block.shared)
        if (holds(array, address, bytes)) return &array;
    return nullptr;
}

}  // namespace sim

using namespace sim;

extern "C" void* sim_shared(const void* key, size_t bytes) {
    for (const SharedArray& array : block.shared)
        if (array.key == key) return array.start;
    return new_shared_array(key, bytes);
}

extern "C" void* sim_dynamic_shared() {
    if (block.shared.empty() || block.shared[0].key) fail("dynamic shared memory is used but the launch has none");
    return block.shared[0].start;
}

extern "C" void* sim_allocate(size_t bytes) {
    const std::lock_guard<std::recursive_mutex> lock(device_mutex);
    const size_t room = (bytes + 2 * GUARD + 255) / 256 * 256;
    char* memory = static_cast<char*>(aligned_alloc(256, room));
    if (!memory) return nullptr;
    memset(memory, GUARD_BYTE, GUARD);
    memset(memory + GUARD, FRESH_BYTE, bytes);
    memset(memory + GUARD + bytes, GUARD_BYTE, room - GUARD - bytes);
    allocations.push_back({memory + GUARD, bytes, {}, 0});
    return memory + GUARD;
}

extern "C" void sim_free(void* memory) {
    const std::lock_guard<std::recursive_mutex> lock(device_mutex);
    for (size_t i = 0; i < allocations.size(); i++) {
        if (allocations[i].start != memory) continue;
        allocations.erase(allocations.begin() + ptrdiff_t(i));
        free(static_cast<char*>(memory) - GUARD);
        return;
    }
}

extern "C" void sim_name_buffer(const void* start, size_t bytes, const char* name) {
    const std::lock_guard<std::recursive_mutex> lock(device_mutex);
    Allocation* allocation = allocation_at(start, bytes);
    if (allocation) allocation->parts.push_back({static_cast<const char*>(start), bytes, name});
}

extern "C" void sim_clear_buffers(const void* memory) {
    const std::lock_guard<std::recursive_mutex> lock(device_mutex);
    Allocation* allocation = allocation_at(memory, 0);
    if (allocation) allocation->parts.clear();
    if (allocation) allocation->last_part = 0;
}
