//! The items as a text for an editor or a file: JSON, one item a line, and lines that begin with `#` for
//! the reader alone.

use serde::{Deserialize, Serialize};
use tenwords_protocol::{directive::Item, holdings::Holdings, json};

use super::told;
use crate::failure::Failure;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    items: Vec<Item>,
}

const HEAD: &str = "\
# Each line below is restored, in this order. Take a line away, and it is not; the recovery will name what
# it leaves there. Lines that begin with # are not read. Nothing changes before you have seen it in words.
#
#   snapshot  \"newest\"; \"until 2026-03-03T23:59:59Z\": the newest that is not newer; or one snapshot's time
#   as        {}: the guest as it was. {\"vmid\":201,\"storage\":\"local-zfs\"}: under another number, elsewhere
#             {\"archive\":\"etc.pxar\",\"to\":\"new-folder\"}: one archive; or to \"original\", its own path
#
# There is no field for a server, a datastore or a path: where from and where to is not the hub's to say.
";

/// For an editor.
pub(super) fn of(title: &str, items: &[Item], last: Option<&Holdings>) -> Result<String, Failure> {
    let mut text = format!("# {title}\n{HEAD}\n{{\"items\":[\n");
    for (index, item) in items.iter().enumerate() {
        let line = serde_json::to_string(item).map_err(|error| Failure::internal(error.to_string()))?;
        let comma = if index + 1 < items.len() { "," } else { "" };
        text.push_str(&format!("# {}\n{line}{comma}\n", told::what(&item.group, last)));
    }
    text.push_str("]}\n");
    if let Some(last) = last {
        for other in told::left_out(items, last) {
            text.push_str(&format!("# there too, and not restored: {other}\n"));
        }
    }
    Ok(text)
}

/// What was written; `None` if there is nothing but comments, which means: leave it.
pub(super) fn read(text: &str) -> Result<Option<Vec<Item>>, Failure> {
    // A comment leaves an empty line, so that a refusal names the line that the writer sees.
    let lines = text.lines().map(|line| if line.trim_start().starts_with('#') { "" } else { line });
    let bare = lines.collect::<Vec<_>>().join("\n");
    if bare.trim().is_empty() {
        return Ok(None);
    }
    let written: Written = json::from_slice(bare.as_bytes()).map_err(|error| {
        let remedy = "each line is one item, all but the last with a comma; no field but source, namespace, group, \
                      snapshot and as";
        Failure::usage("directive_text", format!("the items cannot be read: {error}"), remedy)
    })?;
    Ok(Some(written.items))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_written_for_an_editor_is_read_again_and_what_it_must_not_say_is_refused_by_its_line() {
        let text = "{\"items\":[\n# a comment, with {\n\
            {\"source\":\"pbs\",\"group\":\"ct/101\",\"snapshot\":\"until 2026-03-03T23:59:59Z\",\"as\":{}},\n\
            {\"source\":\"pbs\",\"group\":\"host/b\",\"snapshot\":\"newest\",\"as\":{\"archive\":\"e.pxar\",\"to\":\"original\"}}\n]}";
        let items = read(text).unwrap().unwrap();
        assert_eq!(read(&of("x", &items, None).unwrap()).unwrap().unwrap(), items);
        assert!(read("# nothing\n\n").unwrap().is_none());
        for bad in [
            text.replace("\"as\":{}", "\"as\":{},\"server\":\"elsewhere\""),
            text.replace("\"as\":{}", "\"as\":{\"path\":\"/\"}"),
            text.replace("ct/101", "ct/../101"),
            text.replace("until 2026", "before 2026"),
            text.replace("}},\n", "}}\n"),
            text.replace("\"items\"", "\"number\":1,\"items\""),
            format!("{text}{text}"),
        ] {
            let failure = format!("{:?}", read(&bad).unwrap_err());
            assert!(failure.contains("at line"), "{bad}\n{failure}");
        }
    }
}
