//! What the playground says when it is ready: who is there, and lines to copy.

use std::fmt::Write;

use super::fleet::Member;
use super::folder::Folder;
use super::setup::CAPACITY_SAT;

/// The command line client as it can be called from here: the one beside this program, if there is one.
fn cli() -> String {
    let beside = std::env::current_exe().ok().map(|path| path.with_file_name("leyden-cli"));
    let Some(path) = beside.filter(|path| path.exists()) else { return "leyden-cli".to_owned() };
    let here = std::env::current_dir().ok();
    let short = here.and_then(|here| path.strip_prefix(here).ok().map(std::path::Path::to_path_buf));
    quoted(&short.unwrap_or(path).display().to_string())
}

/// As the shell needs it.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// All of it. The last line is `ready`.
pub(super) fn text(members: &[Member], folder: &Folder, mine_every: Option<u64>) -> String {
    let mut text = String::new();
    write(&mut text, members, folder, mine_every).expect("writing into a string does not fail");
    text
}

fn write(text: &mut String, members: &[Member], folder: &Folder, mine_every: Option<u64>) -> std::fmt::Result {
    let fate = if folder.is_kept() { "kept" } else { "removed at the end" };
    writeln!(text, "{} nodes on a chain of their own, in {} ({fate}):\n", members.len(), folder.path().display())?;
    for member in members {
        writeln!(text, "  {}  {} @ 127.0.0.1:{}", member.name, member.id, member.port)?;
    }
    let line: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    writeln!(text, "\n  {}   channels of {CAPACITY_SAT} sat, half on each side\n", line.join("––"))?;

    let node = |member: &Member| match folder.is_kept() {
        true => quoted(&folder.path().join(&member.name).display().to_string()),
        false => member.name.clone(),
    };
    let (cli, payer, payee) = (cli(), node(&members[0]), node(&members[2.min(members.len() - 1)]));
    writeln!(text, "A payment, in another terminal:\n")?;
    writeln!(text, "  {cli} -p {payee} invoice 10000 coffee \"a coffee\"   # msat, label, description")?;
    writeln!(text, "  {cli} -p {payer} pay BOLT11")?;
    writeln!(text, "  {cli} -p {payee} -H listinvoices\n")?;
    writeln!(text, "Blocks and coins:\n")?;
    if let Some(seconds) = mine_every {
        writeln!(text, "  a block every {seconds} s, and")?;
    }
    writeln!(text, "  {cli} -p {payer} dev-generate 6")?;
    writeln!(text, "  {cli} -p {payer} dev-faucet 100000sat\n")?;
    writeln!(text, "`{cli} help` lists the rest. Each node logs into {}. Ctrl-C stops all.\n", log_files(folder))?;
    writeln!(text, "ready")
}

fn log_files(folder: &Folder) -> String {
    folder.path().join("NODE").join("log").display().to_string()
}
