// Kernels by name. build.rs generates, for every file of kernels, `sim_plain_<file>` and (from an instrumented compilation)
// `sim_race_<file>`: arrays of SIM_KERNEL(name, what stands in its __launch_bounds__) that end with {}; and
// `sim_plain_tables`, `sim_race_tables`: the arrays of all files in one order, ending with nullptr. The instrumented compilation
// has the flag -fsanitize=thread, or -fsanitize=thread,alignment,bounds,shift,integer-divide-by-zero (undefined.cpp).
#pragma once
#include <cstddef>
#include <utility>

// __launch_bounds__(threads, blocks): a GPU refuses a block of more threads.
struct SimBounds {
    unsigned threads = 1024, blocks = 0;
};

struct SimKernel {
    const char* name;
    void (*run)(void** parameters);
    size_t parameter_count;
    const size_t* parameter_sizes;
    SimBounds bounds;
};

// Calls a kernel with parameters given by address, as a driver does.
template <auto kernel> struct SimCall;
template <class... P, void (*kernel)(P...)> struct SimCall<kernel> {
    static constexpr size_t sizes[] = {sizeof(P)..., 0};
    template <size_t... I> static void spread(void** parameters, std::index_sequence<I...>) {
        kernel(*static_cast<P*>(parameters[I])...);
    }
    static void run(void** parameters) { spread(parameters, std::index_sequence_for<P...>()); }
};

#define SIM_KERNEL(kernel, ...)                                                              \
    { #kernel, &SimCall<&kernel>::run, sizeof(SimCall<&kernel>::sizes) / sizeof(size_t) - 1, \
      SimCall<&kernel>::sizes, SimBounds{__VA_ARGS__} }

extern "C" const SimKernel* const sim_plain_tables[];
extern "C" const SimKernel* const sim_race_tables[];
