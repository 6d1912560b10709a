// Kernels by number, launches, and the record of synchronising sites.
#include "block.h"
#include <algorithm>
#include <cstdio>
#include <numeric>

namespace sim {

std::recursive_mutex device_mutex;

static const u64 DEFAULT_WATCHDOG = u64(1) << 31;
static const size_t PARAMETER_BYTES = 4096, MOST_PARAMETERS = 64;
alignas(16) static char parameter_bytes[PARAMETER_BYTES];
static void* parameters[MOST_PARAMETERS];
static thread_local char last_error[sizeof Block::error];

// xorshift64.
u64 next_random() {
    block.random ^= block.random << 13;
    block.random ^= block.random >> 7;
    return block.random ^= block.random << 17;
}

bool is_parameter(const void* address) {
    return address >= parameter_bytes && address < parameter_bytes + PARAMETER_BYTES;
}

// ---- synchronising sites ---------------------------------------------------------------------------------------------------

struct Site {
    const char* file;
    int line;
    const char* kind;
};
static std::vector<Site> met;  // by the running launch
static thread_local std::vector<Site> last_met;
static size_t last_site;  // where the last search ended: barriers are met by one thread after another

bool is_dropped(const char* file, int line) {
    const SimOptions& options = block.options;
    return options.dropped_file && options.dropped_line == line && strcmp(options.dropped_file, file) == 0;
}

void note_site(const char* file, int line, const char* kind) {
    const auto is_this = [&](const Site& site) { return site.line == line && site.file == file; };
    if (last_site < met.size() && is_this(met[last_site])) return;
    const auto found = std::find_if(met.begin(), met.end(), is_this);
    last_site = size_t(found - met.begin());
    if (found == met.end()) met.push_back({file, line, kind});
}

// ---- the table of kernels --------------------------------------------------------------------------------------------------

static const SimKernel* find_kernel(const SimKernel* const* tables, size_t number) {
    for (; *tables; tables++)
        for (const SimKernel* kernel = *tables; kernel->name; kernel++)
            if (number-- == 0) return kernel;
    return nullptr;
}

// ---- launches --------------------------------------------------------------------------------------------------------------

static bool refuse(const char* what) {
    snprintf(block.error, sizeof block.error, "%s: %s", block.name, what);
    return false;
}

static bool accept_shape(const unsigned* grid, const unsigned* threads, size_t dynamic_shared) {
    const u64 count = u64(threads[0]) * threads[1] * threads[2];
    if (!grid[0] || !grid[1] || !grid[2] || !count) return refuse("an empty grid or block");
    if (count > MOST_THREADS || threads[2] > 64) return refuse("a block of more than 1024 threads");
    if (count > block.kernel->bounds.threads) return refuse("a block of more threads than the kernel's launch bounds");
    if (grid[0] > 0x7fffffffu || grid[1] > 65535 || grid[2] > 65535) return refuse("a grid above 2^31-1, 65535, 65535 blocks");
    if (dynamic_shared > MOST_SHARED) return refuse("more than 227 KiB of dynamic shared memory");
    return true;
}

static bool copy_parameters(const void* const* from) {
    const SimKernel& kernel = *block.kernel;
    if (kernel.parameter_count > MOST_PARAMETERS) return refuse("more than 64 parameters");
    size_t used = 0;
    for (size_t i = 0; i < kernel.parameter_count; i++) {
        used = (used + 15) / 16 * 16;
        if (used + kernel.parameter_sizes[i] > PARAMETER_BYTES) return refuse("more than 4096 bytes of parameters");
        memcpy(parameter_bytes + used, from[i], kernel.parameter_sizes[i]);
        parameters[i] = parameter_bytes + used;
        used += kernel.parameter_sizes[i];
    }
    return true;
}

// Numbers of the grid's blocks in the order in which they run; empty: in rising order.
static std::vector<u64> order;

static void draw_order(u64 count) {
    order.clear();
    if (block.options.order == FORWARD) return;
    order.resize(count);
    std::iota(order.rbegin(), order.rend(), u64(0));
    if (block.options.order == RANDOM)
        for (u64 i = count; i > 1; i--) std::swap(order[i - 1], order[next_random() % i]);
}

u64 number_of_turn(u32 turn) {
    const u32 index = turn - block.first_turn;
    return index < order.size() ? order[index] : index;
}

static void run_grid(const unsigned* grid, size_t dynamic_shared) {
    const u64 count = u64(grid[0]) * grid[1] * grid[2];
    draw_order(count);
    block.first_turn = block.turn + 1;
    for (u64 i = 0; i < count && !block.failed; i++) {
        block.turn++;
        const u64 number = number_of_turn(block.turn);
        blockIdx = {u32(number % grid[0]), u32(number / grid[0] % grid[1]), u32(number / (u64(grid[0]) * grid[1]))};
        clear_shared(dynamic_shared);
        run_block();
        if (!block.failed) check_shared_gaps();
    }
}

}  // namespace sim

using namespace sim;

extern "C" {

size_t sim_kernel_count() {
    size_t count = 0;
    while (find_kernel(sim_plain_tables, count)) count++;
    return count;
}
const char* sim_kernel_name(size_t kernel) { return find_kernel(sim_plain_tables, kernel)->name; }
size_t sim_parameter_count(size_t kernel) { return find_kernel(sim_plain_tables, kernel)->parameter_count; }
size_t sim_parameter_size(size_t kernel, size_t index) { return find_kernel(sim_plain_tables, kernel)->parameter_sizes[index]; }

int sim_launch(size_t kernel, const unsigned* grid, const unsigned* threads, size_t dynamic_shared,
               const void* const* from, const SimOptions* options) {
    const std::lock_guard<std::recursive_mutex> lock(device_mutex);
    block.options = *options;
    if (!block.options.watchdog) block.options.watchdog = DEFAULT_WATCHDOG;
    block.kernel = find_kernel(options->race ? sim_race_tables : sim_plain_tables, kernel);
    block.name = find_kernel(sim_plain_tables, kernel)->name;
    block.parameters = parameters;
    block.failed = false;
    block.events = 0;
    met.clear();
    block.random = options->seed * 2654435761u + 88172645463325252u;
    bool good = accept_shape(grid, threads, dynamic_shared) && copy_parameters(from);
    if (good) {
        gridDim = {grid[0], grid[1], grid[2]};
        blockDim = {threads[0], threads[1], threads[2]};
        block.thread_count = threads[0] * threads[1] * threads[2];
        run_grid(grid, dynamic_shared);
        char broken[sizeof block.error];
        const bool whole = check_guards(broken, sizeof broken);
        if (!whole && !block.failed) memcpy(block.error, broken, sizeof broken);
        good = whole && !block.failed;
    }
    last_met = met;
    if (good) return 0;
    memcpy(last_error, block.error, sizeof last_error);
    return 1;
}

const char* sim_error() { return last_error; }

size_t sim_site_count() { return last_met.size(); }

void sim_site(size_t index, const char** file, int* line, const char** kind) {
    *file = last_met[index].file;
    *line = last_met[index].line;
    *kind = last_met[index].kind;
}
}
