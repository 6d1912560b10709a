//! How many kernels a training step of LeNet launches at full size: each costs about a microsecond beside its work.

use bbh::backend::cuda::{Addresses, Lowering, Math, lower};
use bbh::data::ImageSet;
use bbh::method::GeneratorKind;
use bbh::plan::Plan;
use bbh::train::config::Config;
use bbh::train::options::{MethodKind, Options};
use bbh::train::{Planned, Sets};

/// Launches of all calls of a plan, and of the layers of generators among them.
fn launches(planned: &Planned, plan: &Plan) -> (usize, usize) {
    let layout = planned.store.layout(size_of::<f32>());
    let addresses = Addresses { persistent: (0, &layout), workspace: (0, &plan.workspace), scratch: 0 };
    let of_call = |call| {
        let mut lowering = Lowering::new(&addresses, call, Math::Tf32);
        lower(&mut lowering);
        lowering.launches.len()
    };
    let of_generators =
        plan.calls.iter().filter(|call| call.label.contains("gen.") && call.kind.name() != "concat_one_hot");
    (plan.calls.iter().map(of_call).sum(), of_generators.map(of_call).sum())
}

fn planned(options: Options) -> Planned {
    let images = |images: usize| ImageSet {
        name: "blank".into(),
        channels: 1,
        height: 28,
        width: 28,
        classes: 10,
        images: vec![0; images * 784],
        labels: (0..images).map(|image| (image % 10) as u8).collect(),
    };
    let sets = Sets { train: images(200), valid: None, test: images(100), ood: None };
    Planned::new(Config::resolve(options).unwrap(), sets).unwrap()
}

#[test]
fn a_step_launches_few_kernels() {
    let bbh = |kind| Options { generator: Some(kind), ..Options::default() };
    let map = Options { method: Some(MethodKind::Map), ..Options::default() };
    let bbb = Options { method: Some(MethodKind::Bbb), ..Options::default() };
    let method = |method| Options { method: Some(method), ..Options::default() };
    let steps = [
        ("layer-wise", bbh(GeneratorKind::LayerWise), 80, 20),
        ("sliced", bbh(GeneratorKind::Sliced), 165, 105),
        ("shared", bbh(GeneratorKind::Shared), 79, 25),
        ("map", map, 32, 0),
        ("bbb", bbb, 34, 0),
        ("dropout", method(MethodKind::Dropout), 46, 0),
        ("ensemble", method(MethodKind::Ensemble), 63, 0),
        ("mnf", method(MethodKind::Mnf), 209, 0),
    ];
    let mut failed = Vec::new();
    for (name, options, most, most_of_generators) in steps {
        let planned = planned(options);
        let (all, of_generators) = launches(&planned, &planned.train);
        let early = planned.early.as_ref().map(|early| launches(&planned, early));
        let workspace = planned.train.workspace.bytes;
        println!("{name}: {all} launches, {of_generators} of generators; one sample: {early:?}; workspace {workspace}");
        if all > most || of_generators > most_of_generators {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "more launches than before: {failed:?}");
}
