//! English.

use tenwords_escrow::select::date;

use super::{CameBack, Fresh, Protected, Talk};

pub(super) static TALK: Talk = Talk {
    looking: "Looking at what is to be escrowed …",
    to_be_escrowed: "To be escrowed:",
    source: |id, server, key| format!("source {id:<12} at {server}, key {key}"),
    unused_key: |key| format!("key    {key} (no source backs up with it now)"),
    file: |path, bytes| format!("file   {path} ({bytes} bytes)"),
    operators: |count| format!("operator keys pinned: {count}"),
    warning: "WARNING: ",
    keep_or_draw: |code, since| {
        format!(
            "This box has code {code} (last ceremony: {}). Keep it and type its ten words (k), or draw a new one (n)?",
            date(since)
        )
    },
    keep: &["k", "keep"],
    draw: &["n", "new"],
    one_of_both: "Type k to keep the code, n to draw a new one; Ctrl-C gives up and changes nothing.",
    to_be_kept: |code| format!("Code {code} is kept: its ten words are needed."),
    keep_former: |former, newest| {
        format!(
            "These are the words of code {former}; the newest is code {newest}. Make code {former} this box's code again?"
        )
    },
    new_code: |new, former| {
        format!(
            "A new code, number {new}, is drawn. Code {former} stays this box's code until the new words have been \
             typed back: keep that sheet until then. It goes on opening what was stored under it."
        )
    },
    only_former: |count, code, since| {
        let keys = if count == 1 { "1 key is" } else { &format!("{count} keys are") };
        format!(
            "{keys} on no file of this box any more, and lie under code {code} ({}). With its ten words they are \
             carried forward; without them only that sheet opens them.",
            date(since)
        )
    },
    working: "Wrapping, opening again in two ways, storing and fetching back …",
    protected: |done| {
        let Protected { box_name, box_id, keys, number, kit } = done;
        let keys = if *keys == 1 { "its key was".to_owned() } else { format!("its {keys} keys were") };
        let stored = match kit {
            None => format!("stored as version {number}, fetched back and opened again."),
            Some(kit) => format!(
                "stored in the kit {}, read back and opened again. No hub has it: keep the kit away from this box, and \
                 not beside the ten words.",
                kit.display()
            ),
        };
        format!(
            "Protected: box {box_name} ({box_id}); {keys} opened by proxmox-backup-client and by our own reading, {stored}"
        )
    },
    numbers: |code, sequence, check_line| format!("code {code}, sequence {sequence}, check line {check_line}"),
    destroy_former: |code| format!("The sheet of code {code} opens nothing that the new one does not: destroy it."),
    need_former: |code| {
        format!("Keep the sheet of code {code} too: backups whose keys are not on this box open with its words only.")
    },
    take_sheet: |code, since| format!("Take the sheet with code {code}; its date is {} or earlier.", date(since)),
    opens_none: |lowest, highest| {
        let codes = if lowest == highest { format!("code {lowest}") } else { format!("codes {lowest} to {highest}") };
        format!("these words open no version of this box ({codes})")
    },
    not_tried: |count| format!("{count} older codes were not tried and can be named"),
    passed_over: |numbers| format!("version {numbers} is not an escrow of ours and was passed over"),
    older_code: |opened, since, newest| {
        format!("these words open code {opened} ({}); the newest escrow is under code {newest}", date(since))
    },
    fresh: |fresh| {
        let Fresh { made_at, code, sequence, place, check_line } = fresh;
        format!(
            "Opened: escrow of {}, code {code}, sequence {sequence}, {place}, check line {check_line}",
            date(*made_at)
        )
    },
    older_would_show: "Please compare code, check line and date with your sheet. A date before the sheet's would be a warning: then call.",
    does_it_fit: "Does this fit?",
    step_look: "1 Looking at this machine …",
    step_claim: "2 Claiming …",
    step_fetch: "2 Fetching the escrow, without the hub …",
    step_words: |name, rehearsal| {
        let practice = if rehearsal { " (a rehearsal)" } else { "" };
        format!("3 Box {name}{practice}. The ten words open it.")
    },
    step_connect: "5 Connecting …",
    step_plan: "6 The plan:",
    step_install: "7 Putting keys, tokens and sources in place …",
    step_restore: "8 Restoring …",
    step_close: "9 Closing with a ceremony under the same words …",
    job_of_lost: |name, what| format!("  The lost box's backup job {name}: {what}"),
    put_job: "  Shall it run here from now on?",
    at_hub: |number| format!("version {number} at the hub"),
    not_of_code: |code| format!("these words are not those of code {code}"),
    sheet_stays: "Your sheet has an earlier date now: that is in order. A new one: `tenwords-agent sheet`.",
    tunnel: |name, sources| {
        format!(
            "  Not reached: {sources}. The escrow has the tunnel {name} (WireGuard), which may lead there. It says, without \
             its keys:"
        )
    },
    tunnel_command: |command| format!("  Starting it runs `{command}`, and every PreUp and PostUp that stands above."),
    start_tunnel: |name| format!("Start the tunnel {name} now?"),
    secret_needed: |token, server, certificate| {
        format!(
            "  A new secret for the same token can be given here. It goes to this server alone, and never to the hub.\n    \
             token        {token}\n    server       {server}\n    certificate  {certificate}"
        )
    },
    secret_command: |command| format!("  On the server itself it is made so: {command}"),
    secret_asked: |token| format!("The secret of {token} (not shown; Enter alone goes on without): "),
    secret_refused: |server| format!("  {server} does not take this one either."),
    needs_former: |snapshot, code, since| {
        format!("{snapshot} needs a key that lies under code {code} ({}), not under these words.", date(since))
    },
    have_former: "Do you have the sheet of that code?",
    former_words: |code| format!("The ten words of code {code} are asked for. Ctrl-C goes on without them."),
    to_be_drilled: |name| {
        format!(
            "Practice on box {name}: nothing is changed. The ten words open its escrow, as they would after a loss."
        )
    },
    drill_swept: "A drill that was killed had left what it restored; it is removed now.",
    own_copy: |why| format!("The hub does not answer ({why}). The words are tried on the copy that this box has kept."),
    own_copy_proves: "The words are right. What they opened is this box's own copy, which would be lost with it: what lies \
                      at the hub was not looked at, so this is no drill.",
    drill_good: "The drill is done",
    drill_not_good: "The drill did NOT end well",
    drill_interrupted: "interrupted: nothing is proven; run the same command again",
    words_opened: |code, since, keys, place| {
        let keys = if keys == 1 { "1 key".to_owned() } else { format!("{keys} keys") };
        format!("these words open code {code}, the escrow of {} ({place}), with {keys}", date(since))
    },
    words_prove: |code| {
        format!(
            "What it proves: these words open the escrow of today, code {code}; what lies there is what this box stored, \
             and it has the keys and sources that the box uses now."
        )
    },
    words_do_not_prove: "What it does not prove: that the backups restore. `tenwords-agent drill --archive` does.",
    not_newest_code: |opened, newest| {
        format!("these are the words of code {opened}; the newest escrow is under code {newest}")
    },
    take_newest: "take the sheet of the newest code and run the drill again; if nobody has it, hold a new ceremony: \
                  `tenwords-agent escrow create --new-code`",
    not_newest: |opened, newest| {
        format!("what was opened is not what this box stored last: sequence {opened} instead of {newest}")
    },
    ask_about_newest: "ask the operator what has become of the newest version; then hold a new ceremony: `tenwords-agent \
                       escrow create`",
    key_lacking: |key, whose| format!("key {key} of {whose} is not in this escrow: its backups would not open"),
    source_lacking: |id| {
        format!(
            "source {id} is not in this escrow as it is now (server, datastore, namespace, certificate, user or key): a \
             recovery would not look there"
        )
    },
    token_lacking: |id| format!("the token of source {id} is not in this escrow"),
    hold_ceremony: "hold a ceremony with the customer at the console: `tenwords-agent escrow create`",
    came_back: |back| {
        let CameBack { archive, snapshot, source, files, size } = back;
        let files = if *files == 1 { "1 file".to_owned() } else { format!("{files} files") };
        format!("{archive} of {snapshot} came back from {source}: {files}, {size}; it is removed again")
    },
    beside_live: |with, same, different| match different {
        0 => format!("beside {with}: all {same} entries are the same"),
        n => format!("beside {with}: {same} entries are the same, {n} differ (live data changes)"),
    },
    archive_proves: "What it proves: with nothing but these words this archive comes back, under the key and the token that \
                     they open, and it is the one that was signed when it was backed up.",
    archive_proves_less: "What it proves: with nothing but these words this archive comes back, under the key and the token \
                          that they open. Its bytes could not be held against what was signed.",
    archive_does_not_prove: "What it does not prove: that the other archives come back, or that a guest starts.",
    drill_left: |path| format!("what came back could NOT be removed: remove {path} by hand"),
    drill_reported: |at| format!("The hub has written it down ({at})."),
    drill_not_reported: |why| format!("the hub has NOT written this drill down: {why}"),
    drill_without_hub: "No hub knows this box: nobody was told of it. What was opened is its own copy; whether the kit is \
                        still kept, nobody here can tell.",
    drill_not_to_report: "The hub was told nothing: only a drill that ends well counts.",
    what_to_do: "what to do: ",
    note: "note: ",
    lost_alive: &[
        "The ten words are lost, and this box is alive: nothing is lost yet.",
        "",
        "The keys are still on this box, so it can be given new words now:",
        "",
        "  1. Hold a new ceremony and draw a new code: `tenwords-agent escrow create`,",
        "     or \"New ten words\" at the console. No old words are needed for it.",
        "  2. Write the new words on a new sheet, by hand, and type them back once.",
        "     Until then nothing changes; from then on the new sheet counts.",
        "  3. If the old sheet turns up again, ask your operator whether older backups",
        "     still need it before you destroy it. If it may have been read by",
        "     somebody, tell your operator that too.",
        "",
        "Do it today: if this box is lost before, the backups cannot be opened.",
    ],
    lost_dead: &[
        "The ten words are lost, and this machine has no key of the box. Does the box",
        "itself still run? Then ask again there: it can be given new words.",
        "If it is lost too, the honest answer:",
        "",
        "Nobody can open the encrypted backups without the ten words: not the",
        "operator, not the hub, not the makers of this program. There is no second",
        "way in and no reset. Whoever offers one for money is lying.",
        "",
        "What may still help, in this order:",
        "  1. The lost box's disk, even a damaged one: image it, write nothing to it.",
        "     Keys: /var/lib/pve-cluster/config.db (/etc/pve/priv/storage/*.enc in it).",
        "  2. Another sheet, also of an older code: it opens what was escrowed then.",
        "     Safe, bank, notary, the person who held the ceremony.",
        "  3. A word in doubt? Type the likeliest: similar and swapped words are tried.",
        "     One word missing altogether? A specialist can try all 7776 of the list.",
        "  4. A paper key or master key of Proxmox Backup Server, if one was made.",
        "  5. Another node of the same cluster: it has the same keys.",
        "  6. Backups without encryption, copies elsewhere, the guests' own exports.",
        "",
        "If none of these exists, the backups stay closed. Keep them all the same.",
    ],
};
