//! The help text below a command's options: examples, and the output of `--json`.

pub(super) const PROGRAM: &str = "\
STORE is an alias, a store id, the first 4 or more hex digits of a store id (8 or more for a command that \
changes the store), or a path that contains /, to a store's directory or file. An alias can be the \
beginning of an id, and then means the store of that name. Aliases are given on this machine only: no replica \
brings names along.

Data goes to standard output, everything else to standard error. A value is printed raw to a pipe, and \
on a terminal as it is, except for control characters. In lists, each byte that is not printable is \\xNN, and a \
backslash that begins such a text is \\x5c. A key can be given as it is printed. In JSON a byte string is a text under \
its name if it is UTF-8, else base64 under its name with _b64 appended. Times in JSON are \
milliseconds since 1970-01-01 UTC.

`lattice help TOPIC` explains stores, bundles, code, conflicts, json and exit-codes.

Exit codes: 0 done; 1 failed; 2 usage; 3 no such store, key or file; 4 damage or a difference; \
5 in use; 6 unknown type, or a schema, code or file newer than this program; 130 interrupted by Ctrl-C, 143 terminated, \
129 the terminal was closed. With --json an error is one object on standard error: \
{\"error\": {\"kind\", \"message\"}}; of an interrupted command also signal, stands (what it has done), unfinished_kept and \
unfinished_left (paths), next (the command that goes on, or null).

An interrupted command says what stands and which command goes on, and removes its unfinished files. \
`append` and `import` first commit what they have read when they are terminated or the terminal is closed. \
A second Ctrl-C ends a command at once. Signals that are ignored when it starts stay ignored.";

pub(super) const TOUR: &str = "\
Example: lattice tour --keep ./tour

JSON, one object per line: one of heading, text, command, call, output, error";

pub(super) const CREATE: &str = "\
Only you can read the store's file: it is not encrypted. With --group-readable, its group can read it \
as well.

Example: lattice create core:kvstore --alias fruit

JSON: store_id, store_type, schema_version, alias";

pub(super) const STATS: &str = "\
Reads all ops, and the keys of a core:kvstore store. The part of a key up to its last delimiter is its prefix, \
or a part with --depth delimiters. `unused` is about what `compact` gives back.

Example: lattice stats fruit
         lattice stats packages --delimiter : --depth 2

JSON: store_id, store_type, bytes (of the file), ops, elements, key_count, entry_count (null unless it is a log), state_bytes, \
history_bytes, records_bytes, reclaimable_bytes (about), by_author (each: author, ops, bytes), by_prefix (each: \
prefix, key_count, bytes); the last author or prefix can be null, which is the sum of all others";

pub(super) const LIST: &str = "\
On a terminal ids are shortened to what is unique among these stores, at least 8 digits.

Example: lattice list
         lattice list --sort size

JSON, one object per line: store_id, store_type, schema_version, alias, bytes, verified; for a damaged store: path, \
error";

pub(super) const PEEK: &str = "\
Example: lattice peek fruit
         lattice peek ./copy/state.db

JSON: store_id, store_type, schema_version, logic_version, code (where its module is), tips (author to \
op id)";

pub(super) const INFO: &str = "\
Example: lattice info fruit

JSON: store_id, store_type, schema_version, tips, state_hash, ops, elements, key_count (null unless it is a \
key-value store), entry_count (null unless it is a log), authors, frontier, forks, held, held_ops, logic_version, code (where its module is), opened_by (the code that would open it, or \
null), needs_upgrade (whether it is older than that code), newer (the newer code, or null), bytes, journal_transactions, \
journal_bytes (null without a journal), alias, owner, \
created, migrated_from, verified (whether this data directory vouches for the store), copy (whether it is \
an unconfirmed copy)";

pub(super) const TYPES: &str = "\
Example: lattice types

JSON, one object per line: store_type, schema_version, logic_version, method_count, code (where its \
module is)";

pub(super) const DESCRIBE: &str = "\
Example: lattice describe fruit
         lattice describe core:kvstore

JSON: store_id, store_type, logic_version, code (where its module is), methods (each: name, kind, doc, \
params, result)";

pub(super) const CALL: &str = "\
Example: lattice call fruit put key=apple value=red
         lattice call fruit scan prefix=ap limit:=10
         lattice call fruit put key=photo value=@photo.jpg
         lattice call fruit put key_b64=AAE= value=red

JSON: the method's result; a list has one value per line";

pub(super) const PUT: &str = "\
Example: lattice put fruit apple red
         lattice put fruit photo < photo.jpg
         lattice put fruit -- --strange-key value
         lattice put fruit apple green --expect red

If the condition of --if-absent or --expect does not hold, nothing is written, the exit code is 1 and \
the kind of the error is `expectation`.

JSON: op, author, seq, apply_index";

pub(super) const GET: &str = "\
Example: lattice get fruit apple
         lattice get fruit apple pear

If a key has no value, those of the others are printed, and the exit code is 3.

JSON, one object per key with a value: key, value";

pub(super) const EXISTS: &str = "\
Example: if lattice exists fruit apple; then echo yes; fi

The exit code is 0 if all keys have values, and 3 without a message if one has none.

JSON, one object per key: key, exists";

pub(super) const BATCH: &str = "\
Each line is a JSON object with one field: the name of a method that writes, with the parameters that \
`lattice describe` lists. A parameter of bytes is a text, or base64 under its name with _b64 appended. \
Empty lines are skipped.

Without --each, conditions are checked against the state before the first command, and if a key is \
written several times, the last write counts. Store types other than core:kvstore and core:logstore \
need --each, which commits after each command: what was written before an error stays.

Example: lattice batch fruit <<'END'
         {\"put\": {\"key\": \"apple\", \"value\": \"red\", \"expect_absent\": true}}
         {\"delete\": {\"key\": \"pear\"}}
         END

JSON: store_id, commands, ops; with --each one object per command: line, result";

pub(super) const DEL: &str = "\
Example: lattice del fruit apple pear
         lattice del fruit apple --expect red

JSON: op, author, seq, apply_index";

pub(super) const SCAN: &str = "\
Example: lattice scan fruit --prefix ap --limit 10
         lattice scan fruit --keys-only -0 | xargs -0 -n1 echo

JSON, one object per line: key, value";

pub(super) const CONFLICTS: &str = "\
Example: lattice conflicts fruit
         lattice conflicts fruit apple

JSON, one object per line: key, value, current, author, time, op";

pub(super) const APPEND: &str = "\
Example: lattice append events 'disk replaced'
         journalctl --follow | lattice append events

JSON: entries, ops; of the newest op: op, author, seq, apply_index";

pub(super) const TAIL: &str = "\
Example: lattice tail events -n 20
         lattice tail events --follow

JSON, one object per line: entry (its number in the log), time, author, content";

pub(super) const IMPORT: &str = "\
Without --key, a JSON object needs the fields `key` and `value` (or `key_b64` and `value_b64`, in \
base64), and a table needs columns with these names. For a log, a JSON object needs `content` or \
`content_b64`, and each record of a table becomes an entry, as a JSON object, unless the table has the \
columns that `export` writes. A plain line is an entry, or a key, a tab and a value; it ends in LF or \
CR LF.

A file compressed with gzip or zstd is recognised by its bytes, whatever its name. Text is UTF-8, with or \
without a byte order mark; UTF-16 is refused.

The import stops at the first row that cannot be read, and reports its line. The rows before it are \
imported, or no row with --atomic. With --skip-errors it leaves out such rows and ends with exit code \
0. It still stops where the next row cannot be found: at a quote or a bracket that is not closed, a row \
that is too long, and damaged compressed data.

Entries of a log get the time of the import: the time of an entry is that of its op, which is signed and \
later than the ops before it. --time keeps the time of the source in the entry: the entry begins with it, \
as 2026-01-31T23:59:59.000Z, and a space. The column has milliseconds since 1970 or a date and a time, \
which is in UTC unless it ends in an offset such as +02:00.

Example: lattice import packages packages.jsonl --key name
         lattice import people people.csv.gz --key email --atomic
         lattice import people export.txt --format csv --delimiter ';' --key email --skip-errors
         lattice import events server.log
         lattice import events audit.csv --time when --value what
         lattice export fruit | lattice import copy -

JSON: store_id, rows, ops, skipped (rows that --skip-errors left out), errors (the first 10 of them: \
line, message)";

pub(super) const EXPORT: &str = "\
Of concurrent values only the current one is written. Importing an entry again creates a new entry, \
with the time and the author of the import.

In JSON Lines, bytes that are not UTF-8 are in base64, under the name of their field with _b64. A table \
has all bytes as they are, with quotes where needed, or with --b64 all columns in base64; `import` reads \
both. FILE appears when it is complete, and only you can read it, unless --mode says otherwise.

Example: lattice export fruit > fruit.jsonl
         lattice export fruit fruit.csv.gz --prefix ap
         lattice export events --from 2026-01-31T12:00Z --to 2026-01-31T13:00Z
         lattice export fruit | lattice import copy -

JSON Lines, with and without --json: key, value; or entry, time, author, content

JSON, with FILE: store_id, file, rows, bytes; on standard error if FILE is `-`";

pub(super) const ALIAS: &str = "\
Example: lattice alias set 3f2a fruit
         lattice alias remove fruit
         lattice alias

JSON, one object per line: alias, store_id";

pub(super) const IDENTITY: &str = "\
Example: lattice identity --create

JSON: author, path";

pub(super) const IDENTITY_NEW: &str = "\
For a copy of a data directory: two directories that write as one author fork the author. After this command \
the directory writes as a new author. Its stores stay as they are, and keep their owners; the ops of the old \
author stay in their histories. Other replicas, and stores of your other data directories, accept ops of the \
new author once with `bundle apply --author KEY`. Asks for confirmation on a terminal; elsewhere --yes is \
required.

Example: lattice identity new --yes

JSON: author, path, author_before (or null), kept (the file with the old key, or null)";

pub(super) const VERIFY: &str = "\
A full verification checks every signature, chain and timestamp, replays the whole history beside \
the store, and compares every row. If no process has the store open for writing, it also checks the \
database's own checksums; during that check no process can open the store for writing. Verification \
works while another process writes, and changes nothing. The replayed state is kept in a temporary \
file in TMPDIR, about as large as the store. If there are findings, the exit code is 4.

Example: lattice verify fruit
         lattice verify fruit --quick
         lattice verify --all

JSON, with --all one object per store: store_id, ok, depth, ops, elements, state_hash, forks, held, held_ops, logic_version, \
recorded_logic, code (where its module is), checksums (intact, damaged, in_use or not_checked), findings \
(each: kind, message, and what else is known)";

pub(super) const UPGRADE: &str = "\
If other code computed the state, the history is replayed, and the store records this program's code \
only if the replay gives the same state. An older layout is migrated, and rolled back if the state hash \
would change. Commands that write do the same when they open a store. If the code computes another state, \
the store does not change, and the exit code is 4.

A store whose type has a trusted publisher, or a pin, is upgraded to the newest release that was not \
withdrawn, or to the pin. A module that a replay has refused is not tried again unless it is named. Asks \
before it changes a store whose type has the policy ask; --yes answers.

Example: lattice upgrade fruit
         lattice upgrade fruit --dry-run
         lattice upgrade lobby chat-fixed.wasm
         lattice upgrade --all --yes

JSON, one object per store: store_id, outcome (current, upgraded; upgradable with --dry-run), recorded (the \
logic before), logic_version, release, recorded_schema, schema_version, ops (how many were replayed, or null), \
state_hash; with --all also for a store that failed: store_id, path, outcome (refused, failed), error";

pub(super) const MIGRATE: &str = "\
The new store has its own id and history, and records the id and the state hash of the old store; \
`info` shows them. An interrupted migration leaves no visible store; the next one resumes it, or \
starts over if the old store has changed. If a process writes to the old store during the migration, \
the migration fails with exit code 5.

--keep, --keep-last and --keep-size make a new store with the newest entries of a log, or the keys of a key-value \
store that were written last, for a history that has grown too long: ops are never removed from a store. The names of the old store name the new one then; the old store stays until it is destroyed. The price: the new store has another id, so every replica must get a bundle of it or \
migrate as well, and what is kept gets the time and the author of the migration.

A key was written when its current value was put; times count back from the newest key or entry, not from now. Of keys that \
one op wrote, the greater one counts as the later one. A key has the size of its bytes and those of its value. Deleted keys and \
further concurrent values are not kept, and `conflicts` has none in the new store.

Example: lattice migrate fruit --to core:kvstore --alias fruit-2
         lattice migrate events --keep 30d
         lattice migrate events --keep-size 100M
         lattice migrate sessions --keep 24h

JSON: store_id, store_type, alias, migrated_from (store_id, state_hash), ops, resumed";

pub(super) const REBUILD: &str = "\
Use this when this program's logic disagrees with the stored state. The history must be intact and \
does not change; the old file is kept beside the new one. A journal that cannot be read to its end is set aside, and the writes that only it had are lost.

Example: lattice rebuild fruit

JSON: store_id, ops, state_hash, state_hash_before, kept, difference, journal_lost (whether the journal was damaged or missing)";

pub(super) const COMPACT: &str = "\
Changes only the length of the file. Fails with exit code 5 while a process has the store open for \
writing or holds a snapshot of it.

Example: lattice compact fruit

JSON: store_id, bytes_before, bytes";

pub(super) const BACKUP: &str = "\
Compares all that it copies with the checksums of its pages, and refuses a damaged store, or one whose ops \
differ from those that were applied, with exit code 4. `verify` also compares the rows with the history, \
and so does `restore`. A store that this data directory does not vouch for is \
verified first, or taken as it is with --trust.

The copy is marked as one: before its authors write to it, they must give --continue, or a replica must \
confirm that it has no later op of theirs.

Only you can read the copy: it is not encrypted. --mode gives it other permission bits.

With `-` the copy is first made in TMPDIR, which needs as much space as the copy.

With --since, FILE gets only the ops that BASE lacks, as a bundle that says what it follows: `restore` \
takes BASE and such files together. BASE is an earlier backup, or an earlier file of --since; only the last \
file of a chain is needed.

Example: lattice backup fruit fruit.db
         lattice backup fruit fruit.db --mode 640
         lattice backup fruit monday.inc --since fruit.db
         lattice backup fruit tuesday.inc --since monday.inc
         lattice backup fruit - | ssh bob lattice restore -

JSON: store_id, file, bytes, ops and follows (with --since: how many, and the name of BASE; else null); \
on standard error if the copy is on standard output";

pub(super) const RESTORE: &str = "\
Copies the file, verifies the new file in full, and then moves it to its place: the data directory needs \
as much space as the copy has, twice as much for `-` and other streams, and TMPDIR about as much as the \
copy for the verification. Refuses a copy that differs \
from its history, with exit code 4. --trust skips the verification.

Replaces an existing store only after asking, or with --yes; the old file is kept.

If an author wrote to the store after the copy was made, the next write to the restored store would fork \
the author. So that author's first write is refused, until --continue says that there are no later ops, or \
a replica does: apply its bundle (`bundle apply`), or give its tips (`bundle create --since`).

LATER are the files that `backup --since` made after FILE, in any order: their ops are added before the \
store is placed. If one that another follows is missing, nothing is restored, with exit code 3. If the \
command is interrupted, the same command continues.

Example: lattice restore fruit.db --alias fruit
         lattice restore fruit.db monday.inc tuesday.inc

JSON: store_id, store_type, alias, ops, kept (where the replaced file is, or null), verified";

pub(super) const DOCTOR: &str = "\
Checks the modes of the data directory, its identity (missing, replaced, or used by a clone), its names and its \
cache of modules; and of each store whether it is intact, verified, a copy, older than this program, misdated, or \
holds ops. Most findings name the command that mends them. If a store is damaged, the exit code is 4.

Then lists directories and files that no process works on: stores that a killed command was building \
(creation, copy, migration, restore) or removing (removal), unfinished files (partial), the files that a \
rebuild or a restore replaced (before-rebuild, before-restore), and parts of a journal that no store needs (journal). `lattice migrate` resumes a migration \
that is listed, `lattice restore` a restore of a chain. A replaced file is removed only if the store's file can be read.

Example: lattice doctor
         lattice doctor fruit --full
         lattice doctor --fix ~/backups

JSON, one object per finding: finding, store_id, path, message, mended_by, fixed; per leftover: path, left_by, \
store_id (of a migration, the old store), bytes, time (of the last change), removed";

pub(super) const DESTROY: &str = "\
Asks for confirmation on a terminal; elsewhere --yes is required.

If a link leads to the store's files, those are deleted too, then the link; other files beside them \
stay. If a command that removed or made the store was interrupted, deletes what it left.

Example: lattice destroy fruit

JSON: store_id, removed_files (outside the store's directory, and leftovers), left_files (beside a \
linked store that are not its own)";

pub(super) const HISTORY: &str = "\
In a graph of more than 2,000 ops, each run of ops without a branch is drawn as one.

Example: lattice history fruit --limit 20
         lattice history fruit --graph
         lattice history fruit --format dot | dot -Tsvg > fruit.svg

JSON, one object per line: apply_index, op, author, seq, time, kind, parents, what";

pub(super) const WATCH: &str = "\
Without --since or --all, starts with the next change. With --json every change has a position: \
apply_index, op and change. Give the last position to --since, and no change is missed or repeated, even \
in the middle of an op; if the store has been restored to an earlier state since, the command fails \
and says so. With an index alone it cannot detect that, and continues after the op that has that \
index now. Works while another process writes to the store.

Example: lattice watch fruit --prefix ap
         lattice --json watch fruit --since 41:9c0f...:0

JSON, one object per line: apply_index, op, change (its number in the op, from 0), author, time, and key and value \
(null if deleted), content, or what";

pub(super) const COMPLETIONS: &str = "\
The script asks the program, so it is installed once. It completes commands, options, files (and `-`), \
store names, types, methods and their parameters, and keys of key-value stores. It opens stores only for \
reading. Of many keys the first 100 and the last are offered.

bash: add to ~/.bashrc:              source <(lattice completions bash)
zsh: add to ~/.zshrc, after compinit: source <(lattice completions zsh)
fish: lattice completions fish > ~/.config/fish/completions/lattice.fish
PowerShell: add to $PROFILE:         lattice completions powershell | Out-String | Invoke-Expression

JSON: shell, script";

pub(super) const MAN: &str = "\
A file that is there is replaced. `man` finds pages in the directories that `manpath` names: \
~/.local/share/man is often one of them, and MANPATH adds others.

Example: lattice man | man -l -
         lattice man --install ~/.local/share/man

JSON: roff; with --install: dir, files";

pub(super) const HELP: &str = "\
The name of a topic can be the name of a command: both are explained then.

Example: lattice help
         lattice help bundle create
         lattice help exit-codes

JSON: topic, text";

pub(super) const CONFIG: &str = "\
The settings are in the file config.toml of the data directory. An environment variable overrides the \
file, and an option overrides both. A wrong setting is an error of every command but this one, `doctor`, `help`, \
`man` and `completions`, which use its default.

wait, LATTICE_WAIT, --wait: how many seconds a write waits for its turn; 10
color, LATTICE_COLOR, --color: \"auto\", \"always\" or \"never\"; \"auto\"
pager, LATTICE_PAGER, PAGER: the command that shows help, `history` and `describe` on a terminal if they are \
longer than it, or \"\" for no pager; \"less\"
log, LATTICE_LOG, -v: which events of the libraries are printed: a level (off, error, warn, info, debug, \
trace), or levels of modules, as \"warn,lattice_backend=debug\"; \"off\"; -v is info, -vv is debug
verify, LATTICE_VERIFY, --trust: what is done about a store that this data directory does not vouch for: \
\"full\" verifies it before a write, a backup or a bundle, \"trust\" takes it; \"full\"
code_policy, LATTICE_CODE_POLICY, --policy: the policy that `code trust` gives a publisher, \"ask\" or \
\"follow\"; \"ask\"

Example: echo 'wait = 60' >> ~/.local/share/lattice/config.toml
         lattice config

JSON, one object per setting: key, value (a text), origin (default, file, environment or option), source \
(the line, the variable or the option)";

pub(super) const METRICS: &str = "\
Gauges in the text format of Prometheus, with labels for the store's id, type and alias. A store that \
cannot be read has lattice_store_up 0, and does not make the command fail.

Example: lattice metrics fruit
         lattice metrics --all > /var/lib/prometheus/node-exporter/lattice.prom

JSON, one object per store: store_id, store_type, alias, ops, authors, forks, held, bytes, last_op_ms, \
verified, copy; for a store that cannot be read: path, error";

#[cfg(feature = "shell")]
pub(super) const SHELL: &str = "\
After `use STORE` the methods of the store are commands: `put apple red` calls the method `put`, with the \
values in the order of its parameters or as NAME=VALUE. Every command of lattice can be typed, too, without \
its STORE if that is the store in use. `.help` lists the rest: output as text, tables, JSON or CSV, timing, \
and scripts.

Each line is a process of its own, and the shell keeps no store open: other processes can write the stores. \
Ctrl-C ends the command that runs. On a terminal lines are edited, completed with Tab, and kept in the file \
shell_history of the data directory. Elsewhere the lines of standard input are run up to the first that \
fails, whose exit code is that of the shell.

Example: lattice shell fruit
         printf 'use fruit\\nscan\\n' | lattice shell

JSON: what the commands print";
