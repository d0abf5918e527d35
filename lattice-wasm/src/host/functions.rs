//! The functions that a module may import, by their names.

use wasmi::{Caller, Func, Store};

use crate::host::Context;
use crate::host::imports::*;

/// An import by its name, for the instance of this store.
pub(crate) fn function(store: &mut Store<Context>, name: &str) -> Option<Func> {
    Some(match name {
        "get" => Func::wrap(
            store,
            |caller: Caller<'_, Context>, key: u32, key_len: u32, buffer: u32, capacity: u32| {
                import(caller, |memory, context, reach| {
                    get(memory, context, reach, (key, key_len), (buffer, capacity))
                })
            },
        ),
        "take" => Func::wrap(store, |caller: Caller<'_, Context>, buffer: u32| {
            import(caller, |memory, context, _| take(memory, context, buffer))
        }),
        "put" => Func::wrap(
            store,
            |caller: Caller<'_, Context>, key: u32, key_len: u32, value: u32, value_len: u32| {
                import(caller, |memory, context, reach| {
                    put(memory, context, reach, (key, key_len), (value, value_len))
                })
            },
        ),
        "remove" => Func::wrap(
            store,
            |caller: Caller<'_, Context>, key: u32, key_len: u32| {
                import(caller, |memory, context, reach| {
                    remove(memory, context, reach, (key, key_len))
                })
            },
        ),
        "scan" => Func::wrap(
            store,
            |caller: Caller<'_, Context>,
             flags: u32,
             start: u32,
             start_len: u32,
             end: u32,
             end_len: u32,
             buffer: u32,
             capacity: u32| {
                let range = Range {
                    flags,
                    start: (start, start_len),
                    end: (end, end_len),
                };
                import(caller, |memory, context, reach| {
                    scan(memory, context, reach, &range, (buffer, capacity))
                })
            },
        ),
        "count" => Func::wrap(store, |caller: Caller<'_, Context>| {
            import(caller, |_, _, reach| count(reach))
        }),
        "number" => Func::wrap(store, |caller: Caller<'_, Context>, op: u32, out: u32| {
            import(caller, |memory, context, reach| {
                number(memory, context, reach, (op, out))
            })
        }),
        "stamp" => Func::wrap(
            store,
            |caller: Caller<'_, Context>, index: u64, out: u32| {
                import(caller, |memory, context, reach| {
                    stamp(memory, context, reach, (index, out))
                })
            },
        ),
        "op" => Func::wrap(
            store,
            |caller: Caller<'_, Context>, index: u64, buffer: u32, capacity: u32| {
                import(caller, |memory, context, reach| {
                    op(memory, context, reach, index, (buffer, capacity))
                })
            },
        ),
        "element" => Func::wrap(
            store,
            |caller: Caller<'_, Context>,
             row: u32,
             key: u32,
             key_len: u32,
             value: u32,
             value_len: u32| {
                import(caller, |memory, context, reach| {
                    element(
                        memory,
                        context,
                        reach,
                        row,
                        (key, key_len),
                        (value, value_len),
                    )
                })
            },
        ),
        "hash" => Func::wrap(
            store,
            |caller: Caller<'_, Context>, at: u32, len: u32, out: u32| {
                import(caller, |memory, context, _| {
                    hash(memory, context, at, len, out)
                })
            },
        ),
        "fail" => Func::wrap(store, |caller: Caller<'_, Context>, text: u32, len: u32| {
            import(caller, |memory, _, _| fail(memory, text, len))
        }),
        "log" => Func::wrap(
            store,
            |caller: Caller<'_, Context>, _level: u32, text: u32, len: u32| {
                import(caller, |memory, context, _| log(memory, context, text, len))
            },
        ),
        _ => return None,
    })
}
