// Outputs drawn around their mean, with noise that the gradient draws again. Four elements of a counter per thread.
#include "fours.cuh"

enum { DRAWN_THREADS = 256 };

// sqrt(variance), 0 where it is not above 0; NaN stays NaN.
DEVICE float deviation(float variance) { return variance <= 0.0f ? 0.0f : square_root(variance); }
DEVICE float half_slope(float variance) { return variance <= 0.0f ? 0.0f : divide(0.5f, square_root(variance)); }

// mean, variance, words -> y = mean + sqrt(variance) * eps
extern "C" __global__ void __launch_bounds__(DRAWN_THREADS)
    local_reparameterization(u32 elements, u32 number, In<float> mean, In<float> variance, In<u32> words, Out<float> y) {
    const Stream stream = stream_of_words(words.data, number);
    each_element(divide_up(elements, 4), [&](u32 four) {
        const float4 m = load_four(mean.data, 4 * four, elements), v = load_four(variance.data, 4 * four, elements);
        const float4 n = stream_normals(stream, four);
        const float4 drawn = make_float4(fused_multiply_add(deviation(v.x), n.x, m.x), fused_multiply_add(deviation(v.y), n.y, m.y),
                                         fused_multiply_add(deviation(v.z), n.z, m.z), fused_multiply_add(deviation(v.w), n.w, m.w));
        store_four(y.data, 4 * four, elements, y.add, drawn);
    });
}

// variance, dy, words -> dmean = dy, dvariance = dy eps / (2 sqrt(variance))
extern "C" __global__ void __launch_bounds__(DRAWN_THREADS)
    local_reparameterization_grad(u32 elements, u32 number, In<float> variance, In<float> dy, In<u32> words, Out<float> dmean,
                                  Out<float> dvariance) {
    const Stream stream = stream_of_words(words.data, number);
    each_element(divide_up(elements, 4), [&](u32 four) {
        const float4 v = load_four(variance.data, 4 * four, elements), d = load_four(dy.data, 4 * four, elements);
        const float4 n = stream_normals(stream, four);
        store_four(dmean.data, 4 * four, elements, dmean.add, d);
        const float4 dv = make_float4(d.x * n.x * half_slope(v.x), d.y * n.y * half_slope(v.y), d.z * n.z * half_slope(v.z),
                                      d.w * n.w * half_slope(v.w));
        store_four(dvariance.data, 4 * four, elements, dvariance.add, dv);
    });
}
