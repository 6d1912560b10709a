// A sum of two images of which the second may have fewer channels, and the second's gradient.
#include "dims.cuh"

// y = h, with x added to the channels from `before` on
extern "C" __global__ void __launch_bounds__(256) shortcut(ShortcutDims d, In<float> h, In<float> x, Out<float> y) {
    const u32 wide = d.channels * d.inner, narrow = d.narrow * d.inner, before = d.before * d.inner;
    each_element(d.images * wide, [&](u32 i) {
        const u32 place = i % wide - before;  // wraps to a large number below `before`
        y.put(i, place < narrow ? h.data[i] + x.data[i / wide * narrow + place] : h.data[i]);
    });
}

// dx = the channels of dy from `before` on
extern "C" __global__ void __launch_bounds__(256) shortcut_grad(ShortcutDims d, In<float> dy, Out<float> dx) {
    const u32 wide = d.channels * d.inner, narrow = d.narrow * d.inner, before = d.before * d.inner;
    each_element(d.images * narrow, [&](u32 i) { dx.put(i, dy.data[i / narrow * wide + before + i % narrow]); });
}
