// Max and average pooling over windows that may overlap or leave a remainder, and their gradients. The gradients gather: an
// element of dx sums over the windows that contain it, in their order.
#include "dims.cuh"

// y and argmax (place in the image); the first of equals wins, and not-a-number wins over numbers.
extern "C" __global__ void __launch_bounds__(256) max_pool2d(Pool2dDims d, In<float> x, Out<float> y, Out<u32> argmax) {
    const u32 pooled = d.out_height * d.out_width;
    each_element(d.images * pooled, [&](u32 i) {
        const u32 pixel = i % pooled;
        const u32 start = (pixel / d.out_width * d.width + pixel % d.out_width) * d.stride;
        const float* const image = x.data + (u64)(i / pooled) * d.height * d.width;
        float best = image[start];
        u32 place = start;
        for (u32 row = 0; row < d.kernel; row++) {
            for (u32 column = 0; column < d.kernel; column++) {
                const u32 here = start + row * d.width + column;
                const float value = image[here];
                if (value > best || (value != value && best == best)) {
                    best = value;
                    place = here;
                }
            }
        }
        y.put(i, best);
        argmax.put(i, place);
    });
}

// Calls `body(output pixel)` for the windows that contain place (row, column) of an image.
template <class Body> DEVICE void each_window(const Pool2dDims& d, u32 row, u32 column, Body body) {
    const u32 first_row = row < d.kernel ? 0 : (row - d.kernel) / d.stride + 1;
    const u32 first_column = column < d.kernel ? 0 : (column - d.kernel) / d.stride + 1;
    const u32 last_row = minimum(row / d.stride + 1, d.out_height);
    const u32 last_column = minimum(column / d.stride + 1, d.out_width);
    for (u32 r = first_row; r < last_row; r++)
        for (u32 c = first_column; c < last_column; c++) body(r * d.out_width + c);
}

// dx = sum of dy over the windows whose maximum stands here
extern "C" __global__ void __launch_bounds__(256) max_pool2d_grad(Pool2dDims d, In<float> dy, In<u32> argmax, Out<float> dx) {
    const u32 area = d.height * d.width;
    const u32 pooled = d.out_height * d.out_width;
    each_element(d.images * area, [&](u32 i) {
        const u32 place = i % area;
        const u32 start = i / area * pooled;
        float sum = 0.0f;
        each_window(d, place / d.width, place % d.width, [&](u32 pixel) {
            if (argmax.data[start + pixel] == place) sum += dy.data[start + pixel];
        });
        dx.put(i, sum);
    });
}

// Elements along an axis of the window that starts at `place`: K, or what is left of the image at its border.
DEVICE u32 left_of(const Pool2dDims& d, u32 place, u32 side) { return minimum(d.kernel, side - place); }

// y = mean of the window
extern "C" __global__ void __launch_bounds__(256) avg_pool2d(Pool2dDims d, In<float> x, Out<float> y) {
    const u32 pooled = d.out_height * d.out_width;
    each_element(d.images * pooled, [&](u32 i) {
        const u32 pixel = i % pooled;
        const u32 top = pixel / d.out_width * d.stride, left = pixel % d.out_width * d.stride;
        const u32 rows = left_of(d, top, d.height), columns = left_of(d, left, d.width);
        const float* const image = x.data + ((u64)(i / pooled) * d.height + top) * d.width + left;
        float sum = 0.0f;
        for (u32 row = 0; row < rows; row++)
            for (u32 column = 0; column < columns; column++) sum += image[row * d.width + column];
        y.put(i, divide(sum, (float)(rows * columns)));
    });
}

// dx = sum of dy over the windows that contain the element, each over the number of its elements
extern "C" __global__ void __launch_bounds__(256) avg_pool2d_grad(Pool2dDims d, In<float> dy, Out<float> dx) {
    const u32 area = d.height * d.width;
    const u32 pooled = d.out_height * d.out_width;
    each_element(d.images * area, [&](u32 i) {
        const u32 place = i % area;
        const float* const slopes = dy.data + (u64)(i / area) * pooled;
        float sum = 0.0f;
        each_window(d, place / d.width, place % d.width, [&](u32 pixel) {
            const u32 top = pixel / d.out_width * d.stride, left = pixel % d.out_width * d.stride;
            sum += divide(slopes[pixel], (float)(left_of(d, top, d.height) * left_of(d, left, d.width)));
        });
        dx.put(i, sum);
    });
}
