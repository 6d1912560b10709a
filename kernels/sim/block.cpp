// Which thread of the block runs next, barriers, warp collectives.
//
// Threads start lazily: a fiber runs thread after thread for as long as none of them waits, so that a kernel without barriers
// is a plain loop. A thread that waits picks the next one itself and switches to it.
#include "block.h"
#include <cstdarg>
#include <cstdio>

uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace sim {

Block block;

void fail(const char* format, ...) {
    int length = snprintf(block.error, sizeof block.error, "%s, block (%u,%u,%u), thread (%u,%u,%u): ", block.name, blockIdx.x,
                          blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(block.error + length, sizeof block.error - length, format, arguments);
    va_end(arguments);
    block.failed = true;
    Fiber abandoned;
    switch_fiber(&abandoned, &block.caller);
    __builtin_unreachable();
}

void tick() {
    if (++block.events > block.options.watchdog)
        fail("gave up after %llu synchronisations and accesses: the kernel does not end", block.events);
}

static u32 pick_bit(u32 bits) {
    switch (block.options.order) {
        case FORWARD: return u32(__builtin_ctz(bits));
        case REVERSE: return 31 - u32(__builtin_clz(bits));
        default:
            for (u32 skipped = u32(next_random() % u32(__builtin_popcount(bits))); skipped > 0; skipped--) bits &= bits - 1;
            return u32(__builtin_ctz(bits));
    }
}

static void set_ready(u32 warp, u32 lanes) {
    block.warps[warp].ready |= lanes;
    if (lanes) block.ready_warps |= 1u << warp;
}

static void clear_ready(u32 warp, u32 lanes) {
    if (!(block.warps[warp].ready &= ~lanes)) block.ready_warps &= ~(1u << warp);
}

// Whether a thread can run; then `next` is that thread. A warp goes on until none of its lanes can (but in random order).
static bool pick(u32* next) {
    if (block.options.order == RANDOM || !block.warps[block.current_warp].ready) {
        if (!block.ready_warps) return false;
        block.current_warp = pick_bit(block.ready_warps);
    }
    *next = block.current_warp * WARP + pick_bit(block.warps[block.current_warp].ready);
    return true;
}

static void first_warp() { block.current_warp = block.options.order == REVERSE ? block.warp_count - 1 : 0; }

static void open_barrier() {
    block.waiting = 0;
    block.epoch++;
    for (u32 warp = 0; warp < block.warp_count; warp++) {
        block.warps[warp].ready = 0;
        set_ready(warp, block.warps[warp].exist & ~block.warps[warp].done);
    }
    first_warp();
}

[[noreturn]] static void deadlock() {
    u32 collective = 0;
    for (u32 warp = 0; warp < block.warp_count; warp++)
        for (const Collective& c : block.warps[warp].collectives) collective += u32(__builtin_popcount(c.arrived));
    fail("deadlock: of %u threads %u wait at a barrier (line %d) and %u in warp collectives that never complete", block.alive,
         block.waiting, block.waiting ? block.barrier_line : 0, collective);
}

static void become(u32 thread) {
    block.current = thread;
    threadIdx = block.threads[thread].index;
}

void reschedule() {
    u32 next;
    const u32 me = block.current;
    if (!pick(&next)) deadlock();
    if (next == me) return;
    if (!block.threads[next].fiber) block.threads[next].fiber = take_fiber();
    block.current = next;
    switch_fiber(block.threads[me].fiber, block.threads[next].fiber);
    become(me);
}

// Marks the current thread as ended. Returns false when it was the last of the block.
static bool end_thread() {
    Thread& thread = block.threads[block.current];
    finish_copies(thread);
    const u32 warp = block.current / WARP, lane = 1u << block.current % WARP;
    block.warps[warp].done |= lane;
    clear_ready(warp, lane);
    block.alive--;
    if (block.alive && block.waiting == block.alive) open_barrier();
    return block.alive > 0;
}

void thread_loop() {
    for (;;) {
        become(block.current);
        block.kernel->run(block.parameters);
        Thread& ended = block.threads[block.current];
        Fiber* mine = ended.fiber;
        if (!end_thread()) {
            ended.fiber = nullptr;
            give_back(mine);
            switch_fiber(mine, &block.caller);
            continue;
        }
        u32 next;
        if (!pick(&next)) deadlock();
        ended.fiber = nullptr;
        block.current = next;
        if (!block.threads[next].fiber) {
            block.threads[next].fiber = mine;
            continue;
        }
        give_back(mine);
        switch_fiber(mine, block.threads[next].fiber);
    }
}

static void prepare_threads() {
    const u32 count = block.thread_count;
    block.warp_count = (count + WARP - 1) / WARP;
    block.alive = count;
    block.waiting = block.epoch = 0;
    for (u32 thread = 0; thread < count; thread++) {
        block.threads[thread].fiber = nullptr;
        block.threads[thread].index = {thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / (blockDim.x * blockDim.y)};
    }
    block.ready_warps = 0;
    for (u32 warp = 0; warp < block.warp_count; warp++) {
        Warp& w = block.warps[warp];
        const u32 lanes = count - warp * WARP;
        w.exist = lanes >= WARP ? ~0u : (1u << lanes) - 1;
        w.ready = w.done = w.epoch = 0;
        for (Collective& c : w.collectives) c.arrived = 0;
        set_ready(warp, w.exist);
    }
    first_warp();
}

void run_block() {
    prepare_threads();
    u32 first;
    pick(&first);
    block.current = first;
    block.threads[first].fiber = take_fiber();
    block.running = true;
    switch_fiber(&block.caller, block.threads[first].fiber);
    block.running = false;
    if (block.failed) {
        drop_all_fibers();
        for (Thread& thread : block.threads) {
            thread.open.clear();
            thread.groups.clear();
        }
    }
}

}  // namespace sim

using namespace sim;

extern "C" void sim_sync_threads(const char* file, int line) {
    note_site(file, line, "syncthreads");
    tick();
    if (is_dropped(file, line)) return;
    if (!block.waiting) {
        block.barrier_file = file;
        block.barrier_line = line;
    } else if (block.barrier_line != line || strcmp(block.barrier_file, file) != 0) {
        fail("__syncthreads() at line %d while others wait at line %d", line, block.barrier_line);
    }
    if (++block.waiting == block.alive)
        open_barrier();
    else
        clear_ready(block.current / WARP, 1u << block.current % WARP);
    reschedule();
}

extern "C" void sim_collective(SimExchange exchange, u32 mask, void* argument) {
    tick();
    const u32 warp_number = block.current / WARP, lane = block.current % WARP;
    Warp& warp = block.warps[warp_number];
    const u32 members = mask & warp.exist;
    if (!(members >> lane & 1)) fail("lane %u calls a warp collective whose mask %08x leaves it out", lane, mask);
    if (members & warp.done) fail("a warp collective with mask %08x waits for lanes %08x, which have ended", mask, members & warp.done);
    Collective& collective = warp.collectives[__builtin_ctz(members)];
    if (!collective.arrived) {
        collective.exchange = exchange;
        collective.mask = members;
    } else if (collective.exchange != exchange || collective.mask != members) {
        fail("lanes of one warp meet in different collectives (masks %08x and %08x)", collective.mask, members);
    }
    warp.arguments[lane] = argument;
    collective.arrived |= 1u << lane;
    if (collective.arrived == members) {
        exchange(warp.arguments, members);
        collective.arrived = 0;
        set_ready(warp_number, members);
    } else {
        clear_ready(warp_number, 1u << lane);
    }
    reschedule();
}

static void exchange_nothing(void**, u32) { block.warps[block.current / WARP].epoch++; }

extern "C" void sim_sync_warp(u32 mask, const char* file, int line) {
    note_site(file, line, "syncwarp");
    tick();
    if (!is_dropped(file, line)) sim_collective(exchange_nothing, mask, nullptr);
}
