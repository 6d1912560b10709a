// Device memory with guards and names, and the shared memory of the running block.
#include "block.h"
#include <cstdio>
#include <cstdlib>

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
};
static std::vector<Allocation> allocations;

bool holds(const Extent& extent, const void* address, size_t bytes) {
    const size_t offset = size_t(static_cast<const char*>(address) - extent.start);
    return offset < extent.bytes && bytes <= extent.bytes - offset;
}

static Extent extent_of(const SharedArray& array) { return {array.start, array.bytes, true, array.name}; }
static Extent extent_of(const Part& part) { return {part.start, part.bytes, false, part.name.c_str()}; }
static Extent extent_of(const Allocation& allocation) { return {allocation.start, allocation.bytes, false, "device memory"}; }

// Calls `visit` with each extent until it returns true.
template <class Visit> static bool any_extent(Visit visit) {
    for (const SharedArray& array : block.shared)
        if (visit(extent_of(array))) return true;
    for (const Allocation& allocation : allocations) {
        if (allocation.parts.empty() && visit(extent_of(allocation))) return true;
        for (const Part& part : allocation.parts)
            if (visit(extent_of(part))) return true;
    }
    return false;
}

// Extents that the last searches found: accesses come in runs.
static Extent recent[8];
static u32 replaced;
static void forget_recent() { memset(recent, 0, sizeof recent); }

bool find_extent(const void* address, size_t bytes, Extent* found) {
    for (const Extent& extent : recent)
        if (holds(extent, address, bytes)) {
            *found = extent;
            return true;
        }
    return any_extent([&](const Extent& extent) {
        if (!holds(extent, address, bytes)) return false;
        recent[replaced++ % 8] = *found = extent;
        return true;
    });
}

bool is_shared(const void* address, size_t bytes) {
    for (const SharedArray& array : block.shared)
        if (holds(extent_of(array), address, bytes)) return true;
    return false;
}

static std::string text_of(const Extent& extent) { return (extent.is_shared ? "shared array " : "") + std::string(extent.name); }

std::string describe(const void* address) {
    Extent found;
    if (find_extent(address, 1, &found))
        return "byte " + std::to_string(static_cast<const char*>(address) - found.start) + " of " + text_of(found);
    const ptrdiff_t far = 1 << 20;  // further away no extent is likely to be meant
    ptrdiff_t nearest = far;
    any_extent([&](const Extent& extent) {
        const ptrdiff_t past = static_cast<const char*>(address) - (extent.start + extent.bytes);
        if (past >= 0 && past < nearest) {
            nearest = past;
            found = extent;
        }
        return false;
    });
    if (nearest == far) return "near none";
    return std::to_string(nearest) + " bytes past the end of " + text_of(found) + " (" + std::to_string(found.bytes) + " bytes)";
}

static bool is_guard(const char* start, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (static_cast<unsigned char>(start[i]) != GUARD_BYTE) return false;
    return true;
}

bool check_guards(char* error, size_t size) {
    bool whole = true;
    for (const Allocation& allocation : allocations) {
        char* const before = allocation.start - GUARD;
        char* const behind = allocation.start + allocation.bytes;
        const bool good_before = is_guard(before, GUARD);
        if (good_before && is_guard(behind, GUARD)) continue;
        whole = false;
        snprintf(error, size, "%s: the guard bytes %s an allocation of %zu bytes were overwritten", block.name,
                 good_before ? "behind" : "before", allocation.bytes);
        memset(before, GUARD_BYTE, GUARD);
        memset(behind, GUARD_BYTE, GUARD);
    }
    return whole;
}

// ---- shared memory: arrays one behind another with guard bytes around them, NaN at the start of a block --------------------

static const size_t SHARED_GAP = 64;
// Apart from the program's own data, so that a stray access does not pass for a constant.
char* const shared_start = static_cast<char*>(aligned_alloc(128, SHARED_ARENA));

static void check_shared_size(const void* key, size_t bytes) {
    size_t total = bytes, fixed = key ? bytes : 0;
    for (const SharedArray& array : block.shared) {
        total += array.bytes;
        fixed += array.key ? array.bytes : 0;
    }
    if (total > MOST_SHARED) fail("the block uses %zu bytes of shared memory, %zu are allowed", total, MOST_SHARED);
    if (fixed > MOST_STATIC_SHARED)
        fail("the block uses %zu bytes of shared arrays, %zu are allowed outside dynamic shared memory", fixed, MOST_STATIC_SHARED);
}

static char* new_shared_array(const void* key, const char* name, size_t bytes) {
    check_shared_size(key, bytes);
    const size_t end = (block.shared_used + bytes + 2 * SHARED_GAP - 1) / SHARED_GAP * SHARED_GAP;
    if (end > SHARED_ARENA) fail("the block has too many shared arrays");
    char* start = shared_start + block.shared_used;
    memset(start, FRESH_BYTE, bytes);
    memset(start + bytes, GUARD_BYTE, size_t(shared_start + end - (start + bytes)));
    block.shared.push_back({key, name, start, bytes});
    block.shared_used = end;
    return start;
}

void clear_shared(size_t dynamic_shared) {
    forget_flights();
    forget_recent();
    block.shared.clear();
    memset(shared_start, GUARD_BYTE, SHARED_GAP);
    block.shared_used = SHARED_GAP;
    if (dynamic_shared) new_shared_array(nullptr, "(dynamic)", dynamic_shared);
}

static void report_gap(const char* where, const SharedArray& array) {
    block.failed = true;
    snprintf(block.error, sizeof block.error, "%s, block (%u,%u,%u): wrote past the %s of shared array %s (%zu bytes)", block.name,
             blockIdx.x, blockIdx.y, blockIdx.z, where, array.name, array.bytes);
}

void check_shared_gaps() {
    if (block.shared.empty()) return;
    if (!is_guard(shared_start, SHARED_GAP)) report_gap("start", block.shared[0]);
    for (size_t i = 0; i < block.shared.size(); i++) {
        const char* end = block.shared[i].start + block.shared[i].bytes;
        const char* next = i + 1 < block.shared.size() ? block.shared[i + 1].start : shared_start + block.shared_used;
        if (!is_guard(end, size_t(next - end))) report_gap("end", block.shared[i]);
    }
}

}  // namespace sim

using namespace sim;

extern "C" void* sim_shared(const void* key, const char* name, size_t bytes) {
    for (const SharedArray& array : block.shared)
        if (array.key == key) return array.start;
    return new_shared_array(key, name, bytes);
}

extern "C" void* sim_dynamic_shared() {
    if (block.shared.empty() || block.shared[0].key) fail("dynamic shared memory is used but the launch has none");
    return block.shared[0].start;
}

extern "C" void* sim_allocate(size_t bytes) {
    const std::lock_guard<std::recursive_mutex> lock(device_mutex);
    forget_recent();
    const size_t room = (bytes + 2 * GUARD + 255) / 256 * 256;
    char* memory = static_cast<char*>(aligned_alloc(256, room));
    if (!memory) return nullptr;
    memset(memory, GUARD_BYTE, GUARD);
    memset(memory + GUARD, FRESH_BYTE, bytes);
    memset(memory + GUARD + bytes, GUARD_BYTE, room - GUARD - bytes);
    allocations.push_back({memory + GUARD, bytes, {}});
    return memory + GUARD;
}

extern "C" void sim_free(void* memory) {
    const std::lock_guard<std::recursive_mutex> lock(device_mutex);
    forget_recent();
    for (size_t i = 0; i < allocations.size(); i++) {
        if (allocations[i].start != memory) continue;
        allocations.erase(allocations.begin() + ptrdiff_t(i));
        free(static_cast<char*>(memory) - GUARD);
        return;
    }
}

static Allocation* allocation_at(const void* address, size_t bytes) {
    for (Allocation& allocation : allocations)
        if (holds(extent_of(allocation), address, bytes)) return &allocation;
    return nullptr;
}

extern "C" void sim_name_buffer(const void* start, size_t bytes, const char* name) {
    const std::lock_guard<std::recursive_mutex> lock(device_mutex);
    forget_recent();
    Allocation* allocation = allocation_at(start, bytes);
    if (allocation) allocation->parts.push_back({static_cast<const char*>(start), bytes, name});
}

extern "C" void sim_clear_buffers(const void* memory) {
    const std::lock_guard<std::recursive_mutex> lock(device_mutex);
    forget_recent();
    Allocation* allocation = allocation_at(memory, 0);
    if (allocation) allocation->parts.clear();
}
