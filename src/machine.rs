//! What this machine has: memory and peak use. `None` where the system does not tell.

/// Bytes that can still be used without swapping (Linux: MemAvailable).
pub fn available_memory() -> Option<usize> {
    kibibytes("/proc/meminfo", "MemAvailable:")
}

/// Most bytes that this process has had resident (Linux: VmHWM).
pub fn peak_resident() -> Option<usize> {
    kibibytes("/proc/self/status", "VmHWM:")
}

/// The number of KiB in the line of a file of /proc that starts with `key`, in bytes.
fn kibibytes(file: &str, key: &str) -> Option<usize> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    let number: usize = line[key.len()..].trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(number * 1024)
}
