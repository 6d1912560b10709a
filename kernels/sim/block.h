// The running block: its threads as fibers, their warps, shared memory, and how they wait for each other.
#pragma once
#include "device.h"
#include "table.h"
#include "api.h"
#include <mutex>
#include <vector>

namespace sim {

const u32 MOST_THREADS = 1024, WARP = 32, MOST_WARPS = MOST_THREADS / WARP;
const size_t MOST_SHARED = 227 << 10;  // of a block, bytes: compute capability 9.0

// A stack, and where its owner stopped.
struct Fiber {
    void* stack_pointer;
    char* base;
    Fiber* next_free;
};

// A copy that cp.async issued and nobody waited for yet.
struct Copy {
    void* to;
    const void* from;
    u32 bytes, valid;
};

struct Thread {
    Fiber* fiber;  // null: not started
    uint3 index;
    std::vector<Copy> open;                 // issued, not committed
    std::vector<std::vector<Copy>> groups;  // committed, oldest first
};

// Lanes that came to one collective; it is kept under the lowest lane of its mask.
struct Collective {
    SimExchange exchange;
    u32 mask, arrived;
};

struct Warp {
    u32 exist, ready, done;  // lanes
    u32 epoch;               // __syncwarp()s passed
    Collective collectives[WARP];
    void* arguments[WARP];
};

// A shared array; `key` null: the dynamic shared memory.
struct SharedArray {
    const void* key;
    char* start;
    size_t bytes;
};

enum Order { FORWARD, REVERSE, RANDOM };

struct Block {
    const SimKernel* kernel;
    const char* name;
    void** parameters;
    SimOptions options;
    u64 number;            // of the block in the grid
    u32 launch;            // of the process
    u32 thread_count, warp_count;
    u32 alive, waiting;    // threads; those at the barrier
    u32 epoch;             // barriers passed
    const char* barrier_file;
    int barrier_line;
    u32 ready_warps;
    u32 current, current_warp;
    bool running, failed;
    u64 events, random;
    Thread threads[MOST_THREADS];
    Warp warps[MOST_WARPS];
    std::vector<SharedArray> shared;
    size_t shared_used;
    Fiber caller;
    char error[1024];
};
extern Block block;

// Ends the launch with a message: kernel, block, thread, what. Does not return to the kernel.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
// Counts an event of the watchdog.
void tick();
// Runs whoever is next; returns when the current thread may go on.
void reschedule();
void run_block(u64 number);

// fiber.cpp
Fiber* take_fiber();
void give_back(Fiber* fiber);
void drop_all_fibers();
void switch_fiber(Fiber* from, Fiber* to);
bool on_stack(const Fiber* fiber, const void* address);
void thread_loop();  // what a fiber runs

// copy.cpp
void finish_copies(Thread& thread);

// memory.cpp
void clear_shared(size_t dynamic_shared);
void check_shared_gaps();
bool check_guards(char* error, size_t size);
const SharedArray* shared_array_at(const void* address, size_t bytes);
// Name and offset of device memory at an address; null when it may not be touched.
const char* buffer_at(const void* address, size_t bytes, size_t* offset);

// race.cpp: checks an access of the current thread against bounds and against accesses of others.
void check_access(const void* address, size_t bytes, bool write, const void* code);

// launch.cpp
extern std::recursive_mutex device_mutex;  // launches and changes of memory, one at a time
// True for the copied parameters of the running launch.
bool is_parameter(const void* address);
u64 next_random();
bool is_dropped(const char* file, int line);
void note_site(const char* file, int line, const char* kind);

}  // namespace sim
