//! How many kernels a training step of LeNet launches at full size: each costs about a microsecond beside its work.

use bbh::backend::cuda::{Addresses, Lowering, Math, lower};
use bbh::data::ImageSet;
use bbh::method::GeneratorKind;
use bbh::plan::Plan;
use bbh::train::config::Config;
use bbh::train::options::Options;
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

fn planned(generator: GeneratorKind) -> Planned {
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
    let options = Options { generator: Some(generator), ..Options::default() };
    Planned::new(Config::resolve(options).unwrap(), sets).unwrap()
}

#[test]
fn a_step_launches_few_kernels() {
    let most = [(GeneratorKind::LayerWise, 83, 20), (GeneratorKind::Sliced, 168, 105), (GeneratorKind::Shared, 82, 25)];
    let mut failed = false;
    for (generator, most, most_of_generators) in most {
        let planned = planned(generator);
        let (all, of_generators) = launches(&planned, &planned.train);
        let early = planned.early.as_ref().map(|early| launches(&planned, early));
        let workspace = planned.train.workspace.bytes;
        println!(
            "{generator:?}: {all} launches, {of_generators} of generators; one sample: {early:?}; workspace {workspace}"
        );
        failed |= !(all <= most && of_generators <= most_of_generators);
    }
    assert!(!failed, "more launches than {most:?}");
}
