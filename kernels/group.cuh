// Launches for many parts: a table by value says where the operands of each stand, and a block works for one of them.
#pragma once
#include "common.cuh"

enum { MOST_PARTS = 16 };

// The part of this block: the last whose `first_block` is not behind it.
template <class Part> DEVICE u32 part_of_block(const Part (&parts)[MOST_PARTS], u32 count) {
    u32 part = 0;
    while (part + 1 < count && blockIdx.x >= parts[part + 1].first_block) part++;
    return part;
}
