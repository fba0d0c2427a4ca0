//! `tenwords pins init FILE`

use super::{Desk, change, lists, show::Shown};
use crate::{cli::InitPins, failure::Failure, operators::Operators};

pub(in crate::command) fn run(desk: &Desk, init: &InitPins) -> Result<(), Failure> {
    if let Some(own) = Operators::read(&desk.settings.state)? {
        let what = format!("you keep a list already, of generation {}", own.generation);
        let remedy = "a statement changes it: tenwords pins take FILE";
        return Err(Failure::usage("operators_exist", what, remedy));
    }
    let found = lists::read(&init.file)?;
    let generation = if found.is_plain { init.generation } else { found.operators.generation };
    let own = Operators { generation, ..found.operators };
    own.keep(&desk.settings.state)?;
    let warnings = change::warnings(&own.list);
    desk.print_json(&Shown::new(&own, None, &warnings))?;
    desk.print(&format!("This is your own list from here on.\n\n{}", super::show::text(&own)))?;
    if !desk.json {
        warnings.iter().for_each(|warning| desk.warn(warning));
    }
    Ok(())
}
