//! `bbh data`.

use super::print;
use crate::Result;
use crate::data::{self, fetch};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Arguments of `bbh data`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Download a data set into the data folder.
    Fetch {
        /// mnist, fashion-mnist, notmnist or cifar10 (cifar5 comes with it).
        set: String,
        /// Data folder. Default: $BBH_DATA, else the cache folder.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Print the data folder and the sets that are known.
    List {
        /// Data folder. Default: $BBH_DATA, else the cache folder.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}

/// Downloads or lists data sets.
///
/// # Errors
/// When a set is unknown, no mirror serves it, or the disk is full.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Fetch { set, data_dir } => {
            let source = fetch::find(&set)?;
            let folder = data::data_dir(data_dir.as_deref());
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            let result = fetch::fetch(&source, &folder, fetch::Retry::default(), &mut |progress| {
                bar.set_message(progress.file.to_string());
                bar.set_length(progress.total.unwrap_or(progress.received));
                bar.set_position(progress.received);
            });
            bar.finish_and_clear();
            result?;
            print(&format!("{set}: complete in {}\n", folder.join(source.folder).display()));
        }
        Command::List { data_dir } => {
            let folder = data::data_dir(data_dir.as_deref());
            print(&format!("data folder {}\n", folder.display()));
            print("synthetic      rendered by the program, no download; out of distribution: letters\n");
            for name in fetch::NAMES {
                let source = fetch::find(name)?;
                let state = match (name, folder.join(source.folder).is_dir()) {
                    ("cifar10", _) => data::cifar::state(&folder),
                    (_, true) => "there".into(),
                    (_, false) => format!("missing: bbh data fetch {name}"),
                };
                print(&format!("{name:<14} {}/ ({state})\n", source.folder));
            }
            print("cifar5         classes 0-4 of cifar10; out of distribution: cifar5-rest, the classes 5-9\n");
        }
    }
    Ok(())
}
