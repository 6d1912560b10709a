// cp.async. Hardware may carry out a copy at any time between its issue and the end of the wait for it. Forward order does it
// at the wait (a missing wait reads stale shared memory), reverse order at the issue (a missing barrier before a buffer is
// filled again destroys what others still read), random order draws lots. Race checks see the copy at both ends, and
// nobody may touch its target in between.
#include "block.h"

using namespace sim;

static void carry_out(const Copy& copy) {
    memcpy(copy.to, copy.from, copy.valid);
    memset(static_cast<char*>(copy.to) + copy.valid, 0, copy.bytes - copy.valid);
}

static void check(const Copy& copy, const void* code) {
    if (!block.options.race) return;
    if (copy.valid) check_access(copy.from, copy.valid, false, code);
    check_access(copy.to, copy.bytes, true, code);
}

extern "C" void sim_copy_async(void* shared, const void* global, u32 bytes, u32 valid) {
    if (valid > bytes) fail("cp.async of %u bytes with %u valid ones", bytes, valid);
    if (reinterpret_cast<uintptr_t>(shared) % bytes) fail("cp.async: the shared address is no multiple of %u", bytes);
    if (valid && reinterpret_cast<uintptr_t>(global) % bytes) fail("cp.async: the global address is no multiple of %u", bytes);
    if (!is_shared(shared, bytes)) fail("cp.async: %u bytes outside shared memory", bytes);
    Extent extent;
    if (valid && (!find_extent(global, valid, &extent) || extent.is_shared))
        fail("cp.async: %u bytes outside device memory, %s", valid, describe(global).c_str());
    const Copy copy = {shared, global, bytes, valid};
    check(copy, __builtin_return_address(0));
    if (block.options.race) begin_flight(copy);
    const bool at_once = block.options.order == REVERSE || (block.options.order == RANDOM && next_random() % 2);
    if (at_once) carry_out(copy);
    block.threads[block.current].open.push_back(copy);
}

extern "C" void sim_copy_async_commit() {
    Thread& thread = block.threads[block.current];
    thread.groups.push_back(std::move(thread.open));
    thread.open.clear();
}

extern "C" void sim_copy_async_wait(u32 in_flight, const char* file, int line) {
    note_site(file, line, "copy_async_wait");
    tick();
    if (is_dropped(file, line)) return;
    auto& groups = block.threads[block.current].groups;
    const size_t ended = groups.size() > in_flight ? groups.size() - in_flight : 0;
    for (size_t group = 0; group < ended; group++)
        for (const Copy& copy : groups[group]) {
            if (block.options.race) end_flight(copy);
            check(copy, __builtin_return_address(0));
            carry_out(copy);
        }
    groups.erase(groups.begin(), groups.begin() + ptrdiff_t(ended));
}

namespace sim {

void finish_copies(Thread& thread) {
    bool in_flight = !thread.open.empty();
    for (const std::vector<Copy>& group : thread.groups) in_flight = in_flight || !group.empty();
    // A dropped wait leaves copies behind; what it does to the result is for the test to see.
    if (in_flight && !block.options.dropped_file) fail("the thread ends with cp.async copies in flight");
    thread.open.clear();
    thread.groups.clear();
}

}  // namespace sim
