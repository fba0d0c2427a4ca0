//! English.

use super::{Date, Sentences, Way};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) static SENTENCES: Sentences = Sentences {
    title: "Recovery sheet",
    date: |Date { year, month, day }| format!("{day} {} {year}", MONTHS[month.saturating_sub(1) % 12]),
    code: |number| format!("Code {number}"),
    operator: "Who helps you",
    phone: "Telephone",
    words: "The ten words",
    by_hand: "Write them here by hand, clearly. They are shown once, on the screen of the box, and never printed.",
    never: "Nobody will ever ask you for these words.",
    never_at_length: "Not on the telephone, not by e-mail, not on a web page, and not whoever helps you. You type \
                      them yourself, and only at the screen of your own machine. Whoever asks for them is a fraud.",
    what_to_do: "If the box is lost",
    by_hub: Way {
        origin: "Hub",
        steps: [
            "Take a breath. Your data is on the backup server, and these words open it.",
            "Call the number above. Say the name of the box and the number of the code.",
            "Let them make sure that it is you. They open the recovery; they do not need the words for it.",
            "A technician sets up a machine with Proxmox VE and tenwords-agent, and starts the recovery.",
            "Go to the screen of that machine yourself. It asks for the ten words.",
            "Type them from this sheet. The first letters of each word are enough.",
            "If a word is refused: the screen helps to find the slip. You can try as often as you like.",
            "Code and check line on the screen must be those of this sheet, its date no earlier. Else call.",
            "Let it run. Your machines come back one by one. It may be interrupted and started again.",
            "Has anybody else seen the words? Then ask for a new code, and a new sheet, afterwards.",
        ],
        bundle: "escrow.bundle comes from whoever helps you, or is a copy that you keep elsewhere.",
        keep: "Keep this sheet away from the box, and never beside a copy of the bundle. A newer sheet has a later date.",
    },
    by_kit: Way {
        origin: "Kit",
        steps: [
            "Take a breath. Your data is on the backup server, and these words open it.",
            "Fetch the kit: the file that was made with this code, and is kept away from box and sheet.",
            "If you want help, call the number above. Whoever helps you does not need the words.",
            "Set up a machine with Proxmox VE and tenwords-agent, or have a technician do it.",
            "Bring the kit there, and start as root: tenwords-agent recover --kit FILE",
            "Sit at the screen of that machine yourself. It asks for the ten words.",
            "Type them from this sheet. The first letters of each word are enough; a slip is looked for.",
            "Code and check line on the screen must be those of this sheet, its date no earlier. Another kit?",
            "Let it run. Your machines come back one by one. It may be interrupted and started again.",
            "Make a new kit afterwards. Has anybody else seen the words? Then draw a new code too.",
        ],
        bundle: "escrow.bundle is the kit.",
        keep: "Keep this sheet away from the box, and never beside the kit. A newer sheet has a later date.",
    },
    facts: "About this box",
    box_name: "Box",
    box_id: "Box id",
    made: "Code, date",
    check_line: "Check line",
    keys: "Keys begin",
    more_keys: |count| format!("and {count} more"),
    picture: "These facts for a camera; never the words.",
    stock: "Opening everything without any program of ours",
    stock_how: "On a Linux machine with age, jq and proxmox-backup-client, in a folder in memory (/dev/shm). A passphrase \
                is always the ten words: lower case, one blank between two.",
    stock_notes: [
        "takes the bundle apart",
        "takes the sealed root out of it",
        "asks for the words: servers, tokens, files",
        "lists the keys; the next line for each key/…",
        "",
        "must be Scrypt, and the sum in root.txt: else stop",
        "asks for the words: opens the key",
        "from root.txt; PIN: its certificate",
        "type its token, Enter",
        "",
    ],
    print_it: |file| {
        format!(
            "The sheet is in {file}. Print it, without the words (no printer? any paper will do); then press Enter: "
        )
    },
};
