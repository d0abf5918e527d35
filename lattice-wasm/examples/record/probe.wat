;; A module that carries out what a payload says: calls of imports, one after another. What they
;; returned and wrote becomes a row. It computes no state that replicas share: a row tells what one
;; host did.
;;
;; A payload, and the argument of the query `ask`, is a program: a byte with the number of calls, a
;; byte that says which export carries it out (0 apply, 1 settle, 2 decode), 2 bytes that are not used,
;; 512 bytes of data, and 32 bytes for each call: the number of the import and up to 7 arguments, as u32.
;;
;; Memory: the results of the calls (8 bytes each) from 0, buffers from 0x200, the program from 0x1000,
;; all of it zero at first. Bytes 0 to 0x3ff are the value of the row.
(module
  (import "lattice1" "get" (func $get (param i32 i32 i32 i32) (result i64)))
  (import "lattice1" "take" (func $take (param i32)))
  (import "lattice1" "put" (func $put (param i32 i32 i32 i32)))
  (import "lattice1" "remove" (func $remove (param i32 i32)))
  (import "lattice1" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32) (result i64)))
  (import "lattice1" "count" (func $count (result i64)))
  (import "lattice1" "number" (func $number (param i32 i32) (result i32)))
  (import "lattice1" "stamp" (func $stamp (param i64 i32)))
  (import "lattice1" "op" (func $op (param i64 i32 i32) (result i64)))
  (import "lattice1" "element" (func $element (param i32 i32 i32 i32 i32)))
  (import "lattice1" "fail" (func $fail (param i32 i32)))
  (import "lattice1" "log" (func $log (param i32 i32 i32)))
  (import "lattice1" "hash" (func $hash (param i32 i32 i32)))
  (memory (export "memory") 3)
  (data (i32.const 0x2000) "expected a program")
  (global $next (mut i32) (i32.const 0x10000))

  (func (export "lattice1_alloc") (param $len i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.add (local.get $at) (local.get $len)))
    (local.get $at))

  (func $arg (param $call i32) (param $nth i32) (result i32)
    (i32.load (i32.add (local.get $call) (i32.mul (i32.const 4) (local.get $nth)))))

  (func $call (param $c i32) (result i64)
    (block $hash (block $log (block $fail (block $element (block $op (block $stamp (block $number
    (block $count (block $scan (block $remove (block $put (block $take (block $get
      (br_table $get $take $put $remove $scan $count $number $stamp $op $element $fail $log $hash
        (call $arg (local.get $c) (i32.const 0))))
      (return (call $get
        (call $arg (local.get $c) (i32.const 1)) (call $arg (local.get $c) (i32.const 2))
        (call $arg (local.get $c) (i32.const 3)) (call $arg (local.get $c) (i32.const 4)))))
      (call $take (call $arg (local.get $c) (i32.const 1)))
      (return (i64.const 0)))
      (call $put
        (call $arg (local.get $c) (i32.const 1)) (call $arg (local.get $c) (i32.const 2))
        (call $arg (local.get $c) (i32.const 3)) (call $arg (local.get $c) (i32.const 4)))
      (return (i64.const 0)))
      (call $remove
        (call $arg (local.get $c) (i32.const 1)) (call $arg (local.get $c) (i32.const 2)))
      (return (i64.const 0)))
      (return (call $scan
        (call $arg (local.get $c) (i32.const 1)) (call $arg (local.get $c) (i32.const 2))
        (call $arg (local.get $c) (i32.const 3)) (call $arg (local.get $c) (i32.const 4))
        (call $arg (local.get $c) (i32.const 5)) (call $arg (local.get $c) (i32.const 6))
        (call $arg (local.get $c) (i32.const 7)))))
      (return (call $count)))
      (return (i64.extend_i32_u (call $number
        (call $arg (local.get $c) (i32.const 1)) (call $arg (local.get $c) (i32.const 2))))))
      (call $stamp
        (i64.extend_i32_s (call $arg (local.get $c) (i32.const 1)))
        (call $arg (local.get $c) (i32.const 2)))
      (return (i64.const 0)))
      (return (call $op
        (i64.extend_i32_s (call $arg (local.get $c) (i32.const 1)))
        (call $arg (local.get $c) (i32.const 2)) (call $arg (local.get $c) (i32.const 3)))))
      (call $element
        (call $arg (local.get $c) (i32.const 1)) (call $arg (local.get $c) (i32.const 2))
        (call $arg (local.get $c) (i32.const 3)) (call $arg (local.get $c) (i32.const 4))
        (call $arg (local.get $c) (i32.const 5)))
      (return (i64.const 0)))
      (call $fail
        (call $arg (local.get $c) (i32.const 1)) (call $arg (local.get $c) (i32.const 2)))
      (return (i64.const 0)))
      (call $log
        (call $arg (local.get $c) (i32.const 1)) (call $arg (local.get $c) (i32.const 2))
        (call $arg (local.get $c) (i32.const 3)))
      (return (i64.const 0)))
      (call $hash
        (call $arg (local.get $c) (i32.const 1)) (call $arg (local.get $c) (i32.const 2))
        (call $arg (local.get $c) (i32.const 3)))
      (i64.const 0))

  (func $run (param $at i32) (param $len i32)
    (local $nth i32)
    (memory.copy (i32.const 0x1000) (local.get $at) (local.get $len))
    (block $end
      (loop $next
        (br_if $end
          (i32.ge_u (local.get $nth) (i32.load8_u (i32.const 0x1000))))
        (i64.store (i32.mul (i32.const 8) (local.get $nth))
          (call $call (i32.add (i32.const 0x1204) (i32.mul (i32.const 32) (local.get $nth)))))
        (local.set $nth (i32.add (local.get $nth) (i32.const 1)))
        (br $next))))

  (func $has (param $program i32) (param $export i32) (result i32)
    (i32.eq (i32.load8_u offset=1 (local.get $program)) (local.get $export)))

  ;; Valid if it is as long as its calls need.
  (func (export "lattice1_decode") (param $at i32) (param $len i32) (result i64)
    (if (i32.lt_u (local.get $len) (i32.const 4)) (then (return (i64.const 0x200000000012))))
    (if (i32.lt_u (local.get $len)
          (i32.add (i32.const 516) (i32.mul (i32.const 32) (i32.load8_u (local.get $at)))))
      (then (return (i64.const 0x200000000012))))
    (if (call $has (local.get $at) (i32.const 2))
      (then (call $run (local.get $at) (local.get $len))))
    (i64.const 0))

  ;; The key is the stamp, with the apply index before it.
  (func (export "lattice1_apply") (param $at i32) (param $len i32)
    (if (call $has (i32.add (local.get $at) (i32.const 88)) (i32.const 0))
      (then (call $run
        (i32.add (local.get $at) (i32.const 88)) (i32.sub (local.get $len) (i32.const 88)))))
    (call $put (local.get $at) (i32.const 88) (i32.const 0) (i32.const 0x400)))

  (func (export "lattice1_settle") (param $kind i32) (param $at i32) (param $len i32)
    (if (i32.gt_u (local.get $len) (i32.const 92))
      (then (if (call $has (i32.add (local.get $at) (i32.const 88)) (i32.const 1))
        (then (call $run
          (i32.add (local.get $at) (i32.const 88)) (i32.sub (local.get $len) (i32.const 88)))))))
    (i32.store (i32.const 0x3fc) (local.get $kind))
    (call $put (i32.add (local.get $at) (i32.const 8)) (i32.const 80)
      (i32.const 0) (i32.const 0x400)))

  ;; Each row is an element. A row with a key of 1 byte is also another one: its bytes in the page, and
  ;; its key as the value.
  (func (export "lattice1_elements") (param $schema i64) (param $at i32) (param $len i32)
    (local $end i32) (local $row i32) (local $key i32) (local $value i32)
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (local.set $key (i32.load (local.get $at)))
        (local.set $value (i32.load offset=4 (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (call $element (local.get $row) (local.get $at) (local.get $key)
          (i32.add (local.get $at) (local.get $key)) (local.get $value))
        (if (i32.eq (local.get $key) (i32.const 1))
          (then (call $element (local.get $row)
            (i32.sub (local.get $at) (i32.const 8))
            (i32.add (i32.const 8) (i32.add (local.get $key) (local.get $value)))
            (local.get $at) (local.get $key))))
        (local.set $at
          (i32.add (local.get $at) (i32.add (local.get $key) (local.get $value))))
        (local.set $row (i32.add (local.get $row) (i32.const 1)))
        (br $next))))

  ;; The argument begins after `07 01 03 "arg" 04` and a varint. The answer is a byte string of 0x400
  ;; bytes, whose length takes two.
  (func (export "lattice1_query") (param $method i32) (param $at i32) (param $len i32) (result i64)
    (local $start i32)
    (local.set $start (i32.add (local.get $at) (i32.const 7)))
    (block $found
      (loop $next
        (local.set $start (i32.add (local.get $start) (i32.const 1)))
        (br_if $next (i32.and (i32.const 0x80)
          (i32.load8_u (i32.sub (local.get $start) (i32.const 1)))))))
    (call $run (local.get $start)
      (i32.sub (i32.add (local.get $at) (local.get $len)) (local.get $start)))
    (memory.copy (i32.const 4) (i32.const 0) (i32.const 0x400))
    (i32.store (i32.const 0) (i32.const 0x08800400))
    (i64.const 0x404))
)
