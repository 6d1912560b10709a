//! The one error type of the crate. Each variant maps to one exit code of the command line.

/// What went wrong, as one sentence: what was expected, what was found, where, and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong use or bad input: a flag, a configuration key, a malformed file, mismatched shapes. Exit code 2.
    #[error("{0}")]
    Input(String),
    /// A check that was asked for did not hold (`bbh gradcheck`). Exit code 1.
    #[error("{0}")]
    Check(String),
    /// The run itself failed: not-a-number, out of memory, disk full. Exit code 3.
    #[error("{0}")]
    Run(String),
}

/// Result with the crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Wrong use or bad input (exit code 2).
    pub fn input(message: impl Into<String>) -> Self {
        Self::Input(message.into())
    }

    /// A failed check (exit code 1).
    pub fn check(message: impl Into<String>) -> Self {
        Self::Check(message.into())
    }

    /// A failed run (exit code 3).
    pub fn run(message: impl Into<String>) -> Self {
        Self::Run(message.into())
    }

    /// The process exit code that the command line returns for this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Check(_) => 1,
            Self::Input(_) => 2,
            Self::Run(_) => 3,
        }
    }
}
