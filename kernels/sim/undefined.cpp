// Undefined operations of instrumented kernels: what -fsanitize=alignment,bounds,shift,integer-divide-by-zero calls. Vector
// accesses to addresses that no GPU accepts, indices outside an array although inside its memory, shifts that x86 and PTX
// define differently.
#include "block.h"

using sim::block;
using sim::fail;

extern "C" {
// What the compiler passes of a place; the address of such a record comes first in each call.
struct SimPlace {
    const char* file;
    u32 line, column;
};
struct SimMismatch {
    SimPlace place;
    const void* type;
    u8 log_alignment, kind;
};

void __ubsan_handle_type_mismatch_v1(const SimMismatch* mismatch, const void* address) {
    if (block.running)
        fail("%s:%u: an access at %p, which is no multiple of %u bytes: %s", mismatch->place.file, mismatch->place.line, address,
             1u << mismatch->log_alignment, sim::describe(address).c_str());
}

void __ubsan_handle_out_of_bounds(const SimPlace* place, uintptr_t index) {
    if (block.running) fail("%s:%u: index %lld is outside the array", place->file, place->line, static_cast<long long>(index));
}

void __ubsan_handle_shift_out_of_bounds(const SimPlace* place, uintptr_t, uintptr_t distance) {
    if (block.running) fail("%s:%u: a shift by %lld", place->file, place->line, static_cast<long long>(distance));
}

void __ubsan_handle_divrem_overflow(const SimPlace* place, uintptr_t, uintptr_t) {
    if (block.running) fail("%s:%u: a division by zero, or one that overflows", place->file, place->line);
}
}
