// The running block: its threads as fibers, their warps, shared memory, and how they wait for each other.
#pragma once
#include "device.h"
#include "table.h"
#include "api.h"
#include <mutex>
#include <string>
#include <vector>

namespace sim {

const u32 MOST_THREADS = 1024, WARP = 32, MOST_WARPS = MOST_THREADS / WARP;
const size_t MOST_SHARED = 227 << 10;         // of a block, bytes: compute capability 9.0
const size_t MOST_STATIC_SHARED = 48 << 10;  // of it in arrays of fixed size

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
    const char* name;
    char* start;
    size_t bytes;
};

enum Order { FORWARD, REVERSE, RANDOM };

struct Block {
    const SimKernel* kernel;
    const char* name;
    void** parameters;
    SimOptions options;
    u32 turn, first_turn;  // blocks that ran before this one, and before the first of this launch
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
// Counts an event of the watchdog: a synchronisation or an instrumented access.
void tick();
// Runs whoever is next; returns when the current thread may go on.
void reschedule();
void run_block();

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
// Guard bytes of device memory. A broken guard is mended, so that the next launch is not blamed for it.
bool check_guards(char* error, size_t size);
// What kernels may touch: a shared array, or device memory (the named parts of an allocation, if it has any).
struct Extent {
    const char* start;
    size_t bytes;
    bool is_shared;
    const char* name;
};
bool holds(const Extent& extent, const void* address, size_t bytes);
// The extent that holds all bytes; false: there is none.
bool find_extent(const void* address, size_t bytes, Extent* found);
bool is_shared(const void* address, size_t bytes);
// "byte 12 of y", or how far past the end of which extent.
std::string describe(const void* address);
// Where shared arrays lie, from `shared_start` on.
const size_t SHARED_ARENA = MOST_SHARED + (64 << 10);
extern char* const shared_start;

// race.cpp: checks an access of the current thread against bounds and against accesses of others.
void check_access(const void* address, size_t bytes, bool write, const void* code);
// Marks shared memory that cp.async will write: until it has, nobody may touch it.
void begin_flight(const Copy& copy);
void end_flight(const Copy& copy);
void forget_flights();

// launch.cpp
// Number in the grid of a block that ran in this launch.
u64 number_of_turn(u32 turn);
extern std::recursive_mutex device_mutex;  // launches and changes of memory, one at a time
// True for the copied parameters of the running launch.
bool is_parameter(const void* address);
u64 next_random();
bool is_dropped(const char* file, int line);
void note_site(const char* file, int line, const char* kind);

}  // namespace sim
