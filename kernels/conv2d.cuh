// Geometry of convolutions. A forward convolution and the gradient of its input are one operation, a correlation of source
// images with filters: out[n, o, p, q] = sum over c, i, j of source[n, c, p stride + i - pad, q stride + j - pad] filter[o, c, i, j].
// For the gradient of the input the source is dy, its pixels `dilation` (the convolution's stride) apart with zeros between,
// the filters are turned by 180 degrees, pad becomes K - 1 - pad and the stride 1 (Dumoulin & Visin 2016, section 4.6).
//
// A block computes a tile: `images` images, or a band of `rows` rows of one. It stages the part of the source that the tile
// sees, borders and dilation filled with zeros, so that a pixel of the tile and a tap of the filter are offsets that add up.
#pragma once
#include "dims.cuh"

// src/backend/cuda/conv2d.rs: `Correlation`.
struct Correlation {
    // Weight samples; 1 for a source that all share; samples whose results a block adds up (otherwise the grid's z).
    u32 samples, shared, summed;
    // Source as stored: [samples or 1, batch, channels, height, width].
    u32 batch, channels, height, width;
    // Result: [samples, batch, outputs, out_height, out_width], where one place is 2 x 2 pixels in a fused pool.
    u32 outputs, kernel, stride, pad, dilation, out_height, out_width;
    u32 flipped, bias;
    // Tile: images, rows (of the result), tiles that an image is cut into.
    u32 images, rows, bands;
    // Staged part of an image, channels staged at once.
    u32 region_height, region_width, chunk;
    // Groups of outputs of a block.
    u32 groups;
};

// Images that are read in place, or (POOLED) the gradient of a convolution's output that a 2x2 max pool and a ReLU pass on:
// dy at the pixel that `argmax` names, zero elsewhere.
template <bool POOLED> struct Source {
    const float* values;
    const u8* argmax;
    METHOD float at(u64 index, u32 place) const {
        const float value = values[index];
        if (!POOLED) return value;
        return argmax[index] == place ? value : 0.0f;
    }
};

// Where a pixel of the padded, dilated images stands in the source.
struct Place {
    bool inside;
    u32 index;   // in the stored image
    u32 window;  // place in the 2x2 window
};

// `row` and `column` without padding; negative ones have wrapped round.
template <bool POOLED> DEVICE Place find_place(u32 row, u32 column, u32 dilation, u32 height, u32 width) {
    Place place = {true, 0, 0};
    if (dilation > 1) {
        place.inside = row % dilation == 0 && column % dilation == 0;
        row /= dilation;
        column /= dilation;
    }
    if (POOLED) {
        place.window = row % 2 * 2 + column % 2;
        row /= 2;
        column /= 2;
    }
    place.inside = place.inside && row < height && column < width;
    place.index = row * width + column;
    return place;
}

// Places first, first + step, .. of images [.., height, width], without a division for each.
struct Walk {
    u32 image, row, column;
    u32 images, rows, columns;
    METHOD Walk(u32 first, u32 step, u32 height, u32 width)
        : image(first / width / height), row(first / width % height), column(first % width),
          images(step / width / height), rows(step / width % height), columns(step % width) {}
    METHOD void next(u32 height, u32 width) {
        column += columns;
        row += rows;
        image += images;
        if (column >= width) {
            column -= width;
            row++;
        }
        if (row >= height) {
            row -= height;
            image++;
        }
    }
};

// A tile of this block: its first image, its images, its first row, the rows of it that exist.
struct Tile {
    u32 first_image, images, first_row, rows;
};

DEVICE Tile tile_of(const Correlation& d, u32 index) {
    Tile tile;
    tile.first_image = index / d.bands * d.images;
    tile.images = minimum(d.images, d.batch - tile.first_image);
    tile.first_row = index % d.bands * d.rows;
    tile.rows = minimum(d.rows, d.out_height - tile.first_row);
    return tile;
}

// Stages channels [first, first + count) of a tile as [count][images][region_height][region_width]. `row` is the region's
// first row, padding included. Channels of a pixel are independent loads.
template <bool POOLED>
DEVICE void stage_planes(const Correlation& d, Source<POOLED> source, u32 first_image, u32 row, u32 first, u32 count, float* region) {
    const u32 plane = d.images * d.region_height * d.region_width;
    const u32 stored = d.height * d.width;
    Walk walk(threadIdx.x, blockDim.x, d.region_height, d.region_width);
    for (u32 i = threadIdx.x; i < plane; i += blockDim.x) {
        const u32 image = first_image + walk.image;
        Place place = find_place<POOLED>(row + walk.row - d.pad, walk.column - d.pad, d.dilation, d.height, d.width);
        place.inside = place.inside && image < d.batch;
        const u64 start = ((u64)image * d.channels + first) * stored + place.index;
        walk.next(d.region_height, d.region_width);
#pragma unroll 4
        for (u32 c = 0; c < count; c++)
            region[c * plane + i] = place.inside ? source.at(start + (u64)c * stored, place.window) : 0.0f;
    }
}

// Greatest of a window's pixels with the bias added, after ReLU (not-a-number wins, the first of equals), and its place, 4 when
// the ReLU is closed.
DEVICE float pool_window(const float (&pixels)[4], float bias, u32& place) {
    float best = pixels[0] + bias;
    place = 0;
#pragma unroll
    for (u32 i = 1; i < 4; i++) {
        const float value = pixels[i] + bias;
        const bool wins = value > best || value != value;
        best = wins ? value : best;
        place = wins ? i : place;
    }
    if (best <= 0.0f) {
        best = 0.0f;
        place = 4;
    }
    return best;
}
