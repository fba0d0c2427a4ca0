//! `tenwords pins take FILE`

use super::{Desk, change, current, propose, show::Shown, signed, statement, vouched};
use crate::{cli::TakePins, command::ask, failure::Failure, operators::Operators, sshsig::fingerprint};

pub(in crate::command) fn run(desk: &Desk, take: &TakePins) -> Result<(), Failure> {
    let current = current(desk, None)?;
    let pins = signed(&take.file)?;
    let statement = statement(&pins.statement.0, &current)?;
    let armour = vouched(&pins, &current)?;
    let changes = change::told(&current.list, &statement.signers);
    let warnings = change::warnings(&statement.signers);
    eprint!("{}", propose::text(&current, &statement, &changes));
    eprintln!("\nSigned by {}, a recovery key of your list.", fingerprint(armour.key()));
    warnings.iter().for_each(|warning| desk.warn(warning));
    if !take.yes {
        ask::yes("Take this for your own list?")?;
    }
    let own = Operators { generation: statement.generation, list: statement.signers };
    own.keep(&desk.settings.state)?;
    desk.print_json(&Shown::new(&own, None, &warnings))?;
    desk.print(&format!("Your own list is generation {} from here on, code {}.\n", own.generation, own.list.code()))
}
