//! Work on the same columns of several rows at once, in parallel over blocks of columns.

use rayon::join;

/// Rows that one block holds; more are worked on in groups.
pub const MAX_ROWS: usize = 16;

/// From this many elements on, blocks go to other threads.
const PARALLEL_ELEMENTS: usize = 1 << 14;

/// First row and first column of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corner {
    pub row: usize,
    pub column: usize,
}

/// Calls `work` with each block of at most [`MAX_ROWS`] rows and `block` columns. Rows are of equal length. Blocks start at
/// multiples of `block`, whatever the number of threads.
pub fn for_blocks<'a, T: Send + 'a>(
    rows: impl Iterator<Item = &'a mut [T]>,
    block: usize,
    work: impl Fn(Corner, &mut [&mut [T]]) + Sync,
) {
    let mut rows = rows.fuse();
    let mut row = 0;
    loop {
        let mut count = 0;
        let group: [&mut [T]; MAX_ROWS] =
            std::array::from_fn(|_| rows.next().inspect(|_| count += 1).unwrap_or_default());
        if count == 0 {
            return;
        }
        let parallel = count * group[0].len() >= PARALLEL_ELEMENTS;
        split(Group { rows: group, count, corner: Corner { row, column: 0 } }, block, parallel, &work);
        row += count;
    }
}

struct Group<'a, T> {
    rows: [&'a mut [T]; MAX_ROWS],
    count: usize,
    corner: Corner,
}

/// Halves the columns until one block is left.
fn split<T: Send>(mut group: Group<T>, block: usize, parallel: bool, work: &(impl Fn(Corner, &mut [&mut [T]]) + Sync)) {
    let columns = group.rows[0].len();
    if columns <= block {
        return work(group.corner, &mut group.rows[..group.count]);
    }
    let middle = columns.div_ceil(block) / 2 * block;
    let Group { rows, count, corner } = group;
    let mut right: [&mut [T]; MAX_ROWS] = std::array::from_fn(|_| Default::default());
    let mut i = 0;
    let left = rows.map(|row| {
        let at = middle.min(row.len());
        let (a, b) = row.split_at_mut(at);
        right[i] = b;
        i += 1;
        a
    });
    let left = Group { rows: left, count, corner };
    let right = Group { rows: right, count, corner: Corner { column: corner.column + middle, ..corner } };
    if parallel {
        join(|| split(left, block, parallel, work), || split(right, block, parallel, work));
    } else {
        split(left, block, parallel, work);
        split(right, block, parallel, work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_visited_once_with_its_place() {
        for (rows, columns, block) in [(1, 1, 4), (3, 17, 4), (5, 5000, 64), (37, 1000, 128), (16, 4096, 512)] {
            let mut data = vec![0u32; rows * columns];
            for_blocks(data.chunks_mut(columns), block, |corner, rows| {
                assert!(corner.column % block == 0 && corner.row % MAX_ROWS == 0);
                for (i, row) in rows.iter_mut().enumerate() {
                    assert!(row.len() <= block);
                    for (j, value) in row.iter_mut().enumerate() {
                        *value += ((corner.row + i) * columns + corner.column + j + 1) as u32;
                    }
                }
            });
            let expected: Vec<u32> = (1..=data.len() as u32).collect();
            assert_eq!(data, expected, "{rows} x {columns} in blocks of {block}");
        }
    }
}
