//! A profile as comma-separated values.

use super::{CallProfile, Profile};

/// Columns of the file; units as in the names.
pub const COLUMNS: &str = "name,label,shape,launches,bytes,flop,us,gbps,tflops,share_of_ceilings";

/// A line for each call in the profile's order, then `total` (the whole step) and, for a timed step, `gap` (what of its time no
/// call accounts for). Figures that the device has not are empty.
pub fn csv(profile: &Profile) -> String {
    let total = &profile.total;
    let whole = CallProfile {
        name: "total".into(),
        label: profile.name.clone(),
        shape: String::new(),
        launches: total.launches,
        bytes: total.bytes,
        flop: total.flop,
        us: total.us,
        gbps: total.gbps,
        tflops: total.tflops,
        share_of_ceilings: total.share_of_ceilings,
    };
    let mut text = format!("{COLUMNS}\n");
    for call in profile.calls.iter().chain([&whole]) {
        text += &line(call);
    }
    if let Some(gap) = total.gap_us {
        text += &format!("gap,{},,,,,{gap},,,\n", field(&profile.name));
    }
    text
}

fn line(call: &CallProfile) -> String {
    let texts = [&call.name, &call.label, &call.shape].map(|text| field(text)).join(",");
    let figures = [call.us, call.gbps, call.tflops, call.share_of_ceilings].map(number).join(",");
    format!("{texts},{},{},{},{figures}\n", call.launches, call.bytes, call.flop)
}

fn number(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

/// Quoted where a comma, a quote or a new line asks for it.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_commas_are_quoted() {
        assert_eq!([field("S5 N100"), field("1,2"), field("a\nb")], ["S5 N100", "\"1,2\"", "\"a\nb\""]);
        assert_eq!(field("1,2 \"x\""), "\"1,2 \"\"x\"\"\"");
    }
}
