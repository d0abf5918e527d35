//! The help text below a command's options: examples, and the output of `--json`.

pub(super) const PROGRAM: &str = "\
STORE is a path with a / in it, to a store's directory or file; else a store id, an alias, or at least \
4 digits that one store's id begins with.

Data go to standard output, everything else to standard error. A value is printed raw to a pipe; \
on a terminal and in lists, bytes that are no printable text are escaped. In JSON a byte string \
stands under its name if it is UTF-8, else in base64 under its name and _b64. Times in JSON are \
milliseconds since 1970-01-01 UTC.

Exit codes: 0 done; 1 failed; 2 usage; 3 no such store, key or file; 4 damage or a difference; \
5 in use; 6 unknown type, or a schema newer than this program; 130 interrupted. With --json an error \
is one object on standard error: {\"error\": {\"kind\", \"message\"}}.";

pub(super) const TOUR: &str = "\
Example: lattice tour --keep ./tour

JSON, a line each: one of heading, text, command, call, output, error";

pub(super) const CREATE: &str = "\
Example: lattice create core:kvstore --alias fruit

JSON: store_id, store_type, schema_version, alias";

pub(super) const LIST: &str = "\
Example: lattice list

JSON, a line each: store_id, store_type, schema_version, alias, bytes; of a damaged store path, error";

pub(super) const PEEK: &str = "\
Example: lattice peek fruit
         lattice peek ./copy/state.db

JSON: store_id, store_type, schema_version, logic_version, code (where its module is), tips (author to \
op id)";

pub(super) const INFO: &str = "\
Example: lattice info fruit

JSON: store_id, store_type, schema_version, tips, state_hash, ops, authors, frontier, forks, held, \
held_ops, logic_version, code (where its module is), opened_by (the code at hand), bytes, alias, owner, \
created, migrated_from";

pub(super) const TYPES: &str = "\
Example: lattice types

JSON, a line each: store_type, schema_version, logic_version, methods (how many), code (where its \
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

JSON: what the method gives; of a list a line each";

pub(super) const PUT: &str = "\
Example: lattice put fruit apple red
         lattice put fruit photo < photo.jpg
         lattice put fruit -- --strange-key value

JSON: op, author, seq, index";

pub(super) const GET: &str = "\
Example: lattice get fruit apple

JSON: key, value";

pub(super) const DEL: &str = "\
Example: lattice del fruit apple pear

JSON: op, author, seq, index";

pub(super) const SCAN: &str = "\
Example: lattice scan fruit --prefix ap --limit 10
         lattice scan fruit --keys-only -0 | xargs -0 -n1 echo

JSON, a line each: key, value";

pub(super) const CONFLICTS: &str = "\
Example: lattice conflicts fruit
         lattice conflicts fruit apple

JSON, a line each: key, value, current, author, time, op";

pub(super) const APPEND: &str = "\
Example: lattice append events 'disk replaced'
         journalctl --follow | lattice append events

JSON: entries, ops";

pub(super) const TAIL: &str = "\
Example: lattice tail events -n 20
         lattice tail events --follow

JSON, a line each: index, time, author, content";

pub(super) const IMPORT: &str = "\
Without --key, JSON objects have the fields `key` and `value` (or either with _b64, in base64), and \
tables the columns of these names; for a log, JSON objects have `content`, and a record of a table \
becomes an entry as a JSON object. A plain line is an entry, or a key, a tab and a value; it ends in LF or \
CR LF. A row \
that cannot be read ends the import and is named by its line; the rows before it are in, or with \
--atomic none.

Example: lattice import packages packages.jsonl --key name
         lattice import people people.csv --key email --atomic
         lattice import events server.log
         lattice export fruit | lattice import copy -

JSON: store_id, rows, ops";

pub(super) const EXPORT: &str = "\
Of keys with concurrent values the current one is printed. An entry that is imported again is a new \
one: its time and author are those of the import.

Example: lattice export fruit > fruit.jsonl
         lattice export fruit | lattice import copy -

JSON Lines, with and without --json: key, value; or index, time, author, content";

pub(super) const ALIAS: &str = "\
Example: lattice alias set fruit 3f2a
         lattice alias remove fruit
         lattice alias

JSON, a line each: alias, store_id";

pub(super) const IDENTITY: &str = "\
Example: lattice identity --create

JSON: author, path";

pub(super) const VERIFY: &str = "\
A full verification checks every signature, chain and clock, applies the whole history once more beside \
the store, and compares every row; it checks the database's own checksums if no process writes the \
store. It works while another process writes, and changes nothing; while it checks the checksums, a \
process that opens the store for writing finds it in use. The replayed state is kept in a temporary file \
about as large as the store, in TMPDIR. Findings end it with exit code 4.

Example: lattice verify fruit
         lattice verify fruit --quick

JSON: store_id, ok, depth, ops, elements, state_hash, forks, held, held_ops, logic_version, \
recorded_logic, code (where its module is), checksums (intact, damaged, in_use or not_checked), findings \
(each: kind, message, and what else is known)";

pub(super) const MIGRATE: &str = "\
The new store has an id and a history of its own, and names the old one and its state; `info` shows them. \
A migration that was killed shows nothing; the next one resumes, or starts over if the old store has \
changed. If a process writes the old store during the migration, it ends with exit code 5.

Example: lattice migrate fruit --to core:kvstore --alias fruit-2

JSON: store_id, store_type, alias, migrated_from (store_id, state_hash), ops, resumed";

pub(super) const REBUILD: &str = "\
For a store whose state this program's logic computes differently. Its history must be intact and stays \
as it is; the old file is kept beside the new one.

Example: lattice rebuild fruit

JSON: store_id, ops, state_hash, before (the state hash that it had), kept";

pub(super) const COMPACT: &str = "\
Changes nothing but the length of the file. If a process has the store open, for writing or with a \
view of it, it ends with exit code 5.

Example: lattice compact fruit

JSON: store_id, before (bytes), bytes";

pub(super) const BACKUP: &str = "\
A store whose rows are not what its state hash says, or whose ops are not those that were applied, is \
not copied, with exit code 4; `verify` looks at more.

Example: lattice backup fruit fruit.db

JSON: store_id, file, bytes";

pub(super) const RESTORE: &str = "\
A store that is there is replaced only after asking, or with --yes; its file is kept. Whoever writes on from \
an old copy as the same author forks that author: the store keeps both ways of going on, and `info` \
shows the fork.

A copy that is damaged is refused, with exit code 4.

Example: lattice restore fruit.db

JSON: store_id, store_type, kept (the file that was in its place, or null)";

pub(super) const DESTROY: &str = "\
Asks on a terminal, and needs --yes elsewhere.

Example: lattice destroy fruit

JSON: store_id";

pub(super) const HISTORY: &str = "\
In a graph of more than 2,000 ops, ops that follow one another without a branch are drawn as one.

Example: lattice history fruit --limit 20
         lattice history fruit --graph
         lattice history fruit --format dot | dot -Tsvg > fruit.svg

JSON, a line each: index, op, author, seq, time, kind, after (the ops it follows), what";

pub(super) const WATCH: &str = "\
Without --since or --all it begins with the next change. With --json every change says its position: \
give --since the last one's index, op and change, and nothing is missed or repeated, even after a \
change in the middle of an op; if the store has been restored to an earlier state since, it says so. An \
index alone cannot show that: it continues after the op that has that index now. It works on a store \
that another process writes.

Example: lattice watch fruit --prefix ap
         lattice --json watch fruit --since 41:9c0f...:0

JSON, a line each: index, op, change (its number in the op, from 0), author, time, and key and value \
(null if deleted), content, or what";
