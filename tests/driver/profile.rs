//! `bbh profile` on a GPU: ceilings and times come from the driver's events, which in fake.cpp always say 0.5 ms.

use crate::fake::{driver, with_driver};
use serde_json::Value;

fn profile(args: &[&str]) -> Value {
    let args = [&["profile", "--device", "cuda", "--repeats", "3", "--json"], args].concat();
    let assert = with_driver(driver(), &args, &[]).assert().success();
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

fn assert_near(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{found}, not {expected}");
}

/// The work of the ceiling kernels in 0.5 ms each, and a call that takes as long.
#[test]
fn a_kernel_has_the_drivers_times_beside_all_four_ceilings() {
    let profile = profile(&["--kernel", "normal", "--shape", "D=1000", "--math", "bf16"]);
    assert_eq!(profile["math"], "bf16");
    let ceilings = &profile["ceilings"];
    assert_near(&ceilings["copy_gbps"], 2.0 * 512.0 * 1.048_576);
    assert_near(&ceilings["fp32_tflops"], 274.877_906_944);
    assert_near(&ceilings["tf32_tflops"], 2_199.023_255_552);
    assert_near(&ceilings["bf16_tflops"], 4_398.046_511_104);
    assert!(ceilings["update_gbps"].is_null() && ceilings["read_gbps"].is_null(), "{ceilings}");
    assert_near(&profile["calls"][0]["us"], 500.0);
    assert_near(&profile["calls"][0]["gbps"], 4016.0 / 500.0 * 1e-3);
}

/// Every call of the step takes as long as the step itself: the gap says that they overlap.
#[test]
fn a_step_is_timed_as_a_whole_and_call_by_call() {
    let profile = profile(&["--config", "mlp-map", "--batch", "2"]);
    let (total, calls) = (&profile["total"], profile["calls"].as_array().unwrap().len() as f64);
    assert!(calls > 5.0, "{profile}");
    assert_near(&total["us"], 500.0);
    assert_near(&total["calls_us"], 500.0 * calls);
    assert_near(&total["gap_us"], 500.0 - 500.0 * calls);
}
