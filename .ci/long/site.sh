# Sourced by the scripts beside it: the program under test, and a data directory with a store of
# each kind.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
MODULES=$ROOT/lattice-wasm/guests

# Builds the program, unless LATTICE names one, and makes a working directory that goes at the end.
begin() {
    if [ -z "${LATTICE:-}" ]; then
        (cd "$ROOT" && cargo build --quiet --release -p lattice-node) || exit 1
        LATTICE=${CARGO_TARGET_DIR:-$ROOT/target}/release/lattice
    fi
    WORK=$(mktemp -d)
    trap 'umount "$WORK"/mnt 2>/dev/null; rm -rf "$WORK"' EXIT
    # Other users must reach the program and the stores.
    chmod 755 "$WORK"
    cp "$LATTICE" "$WORK/lattice"
    cp -r "$MODULES" "$WORK/modules"
    chmod -R a+rX "$WORK"
    LATTICE=$WORK/lattice
    unset LATTICE_CODE_PATH
    export NO_COLOR=1
}

lattice() { "$LATTICE" --data-dir "$DIR" "$@" </dev/null; }

# Stores, copies and bundles in $1: the data directory `d` and files beside it.
make_site() {
    mkdir -p "$1" && cd "$1" || exit 1
    DIR=$1/d
    if ! (
        set -e
        lattice create core:kvstore --alias fruit
        lattice put fruit apple red
        lattice create core:logstore --alias events
        lattice append events hello world
        lattice create core:registry --alias registry
        lattice code add "$WORK/modules/chat.wasm"
        lattice create org.example.chat --alias chat
        echo "key	value" >rows.tsv
        for nth in $(seq 300); do echo "key$nth	value"; done >>rows.tsv
        lattice import fruit rows.tsv
        lattice backup fruit fruit.db
        lattice put fruit pear green
        lattice bundle create fruit fruit.bundle
        lattice bundle tips fruit >fruit.tips
        # A replica of another node, which has not seen the last op.
        "$LATTICE" --data-dir "$1/other" restore fruit.db
    ) >make.log 2>&1 </dev/null; then
        cat make.log
        echo "the stores cannot be made" >&2
        exit 1
    fi
    rm make.log
}
