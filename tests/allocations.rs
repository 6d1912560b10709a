//! A training step allocates nothing: not the plans, not the kernels, not the thread pool.

use bbh::backend::Target;
use bbh::data::ImageSet;
use bbh::method::{GeneratorKind, KlKind};
use bbh::train::config::Config;
use bbh::train::options::{Anneal, MethodKind, Options};
use bbh::train::{Planned, Sets, Trainer};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every request goes to the system's allocator unchanged; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` or `realloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn sets() -> Sets {
    let set = |images: usize| ImageSet {
        name: "bytes".into(),
        channels: 1,
        height: 28,
        width: 28,
        classes: 10,
        images: (0..images * 784).map(|i| (i % 251) as u8).collect(),
        labels: (0..images).map(|i| (i % 10) as u8).collect(),
    };
    Sets { train: set(170), valid: None, test: set(10), ood: None }
}

fn config(method: MethodKind, generator: GeneratorKind, kl: KlKind) -> Config {
    Config::resolve(Options {
        method: Some(method),
        generator: Some(generator),
        kl: Some(kl),
        hidden_units: Some(vec![16, 64]),
        batch: Some(40),
        anneal: Some(Anneal(1.0, 2.0)),
        ..Options::default()
    })
    .expect("a valid configuration")
}

/// Allocations of two epochs of steps, the first of which has only one sample, after two epochs of warm-up.
fn allocations(config: Config) -> usize {
    let mut trainer = Trainer::new(Planned::new(config, sets()).expect("plans"), Target::Cpu).expect("memory");
    let mut epochs = |count: usize| {
        for _ in 0..count {
            trainer.train_epoch(std::time::Duration::ZERO, &mut |_, _, _| true).expect("a finite loss");
        }
    };
    epochs(4);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    epochs(2);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// One test, so that no other thread of the harness allocates meanwhile.
#[test]
fn a_step_allocates_nothing() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads");
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    std::hint::black_box(vec![0_u8; 100]);
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > before, "the counter counts");
    for (method, generator, kl) in [
        (MethodKind::Map, GeneratorKind::Shared, KlKind::None),
        (MethodKind::Bbh, GeneratorKind::Shared, KlKind::Full),
        (MethodKind::Bbh, GeneratorKind::Sliced, KlKind::PerWeight),
        (MethodKind::Bbh, GeneratorKind::LayerWise, KlKind::Full),
        (MethodKind::Bbb, GeneratorKind::Shared, KlKind::ClosedForm),
        (MethodKind::Dropout, GeneratorKind::Shared, KlKind::None),
        (MethodKind::Ensemble, GeneratorKind::Shared, KlKind::None),
    ] {
        let count = pool.install(|| allocations(config(method, generator, kl)));
        assert_eq!(count, 0, "{method:?} {generator:?} {kl:?}");
    }
}
