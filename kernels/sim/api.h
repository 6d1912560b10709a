// The simulated device as the launcher sees it (src/backend/cuda/sim.rs). Launches run one at a time.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {

size_t sim_kernel_count();
const char* sim_kernel_name(size_t kernel);
size_t sim_parameter_count(size_t kernel);
size_t sim_parameter_size(size_t kernel, size_t index);

// Memory filled with 0xff (NaN), aligned to 256 bytes, with guard bytes around it that every launch checks. Null: refused.
void* sim_allocate(size_t bytes);
void sim_free(void* memory);
// Names a part of an allocation. Instrumented kernels may touch nothing else of an allocation that has named parts.
void sim_name_buffer(const void* start, size_t bytes, const char* name);
void sim_clear_buffers(const void* memory);

struct SimOptions {
    int order;                 // of threads and blocks: 0 forward, 1 reverse, 2 random
    uint64_t seed;             // of the random order
    int race;                  // 1: the instrumented kernels
    const char* dropped_file;  // a synchronising site that does nothing; null: none
    int dropped_line;
    uint64_t watchdog;         // most events (synchronisations, instrumented accesses) of a launch; 0: the default
};
// 0, or 1 with the reason in `sim_error`. Parameters are copied before the kernel starts.
int sim_launch(size_t kernel, const unsigned* grid, const unsigned* block, size_t dynamic_shared,
               const void* const* parameters, const SimOptions* options);
const char* sim_error();

// Synchronising sites that this thread's last launch met: (file, line) once each.
size_t sim_site_count();
void sim_site(size_t index, const char** file, int* line, const char** kind);
}
