//! What the bytes of a store's description cost: genesis records, `meta` tables, the codec.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lattice_meta::{Genesis, Hlc, MetaInfo, Nonce, OpId, PubKey, SchemaVersion, StoreType, codec};
use serde::{Deserialize, Serialize};

fn genesis() -> Genesis {
    Genesis::new(
        StoreType::new("core:kvstore").expect("the grammar's own example"),
        PubKey::from_bytes([1; 32]),
        Nonce::from_bytes([2; 16]),
        Hlc::from_u64(3),
        None,
    )
}

fn describes_a_store(c: &mut Criterion) {
    let genesis = genesis();
    let bytes = genesis.encode();
    c.bench_function("store_type/parse", |b| {
        b.iter(|| StoreType::new(black_box("org.example.chat")));
    });
    c.bench_function("genesis/encode", |b| {
        b.iter(|| black_box(&genesis).encode())
    });
    c.bench_function("genesis/decode", |b| {
        b.iter(|| Genesis::decode(black_box(&bytes)))
    });
    c.bench_function("genesis/store_id", |b| {
        b.iter(|| black_box(&genesis).store_id())
    });
}

fn reads_meta_tables(c: &mut Criterion) {
    let mut group = c.benchmark_group("meta/from_rows");
    for authors in [1_u64, 100, 10_000] {
        let mut info = MetaInfo::new(&genesis(), SchemaVersion::new(1));
        for author in 0..authors {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&author.to_be_bytes());
            info.tips
                .insert(PubKey::from_bytes(key), OpId::from_bytes([9; 32]));
        }
        let rows: Vec<_> = info.rows().collect();
        group.throughput(Throughput::Elements(authors));
        group.bench_function(format!("{authors}_authors"), |b| {
            b.iter(|| {
                MetaInfo::from_rows(black_box(&rows).iter().map(|(key, value)| (key, value)))
            });
        });
    }
    group.finish();
}

/// A record as ops and payloads are: numbers, a bounded sequence, borrowed bytes.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    format: u8,
    seq: u64,
    #[serde(deserialize_with = "codec::bounded_seq::deserialize::<_, _, 1024>")]
    deps: Vec<OpId>,
    #[serde(borrow)]
    payload: &'a serde_bytes::Bytes,
}

fn codes_records(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    for (name, deps, payload) in [
        ("100_bytes", 0, 100),
        ("64_deps", 64, 100),
        ("1_mib", 0, 1 << 20),
    ] {
        let payload = vec![0xab; payload];
        let record = Record {
            format: 1,
            seq: 7,
            deps: vec![OpId::from_bytes([5; 32]); deps],
            payload: serde_bytes::Bytes::new(&payload),
        };
        let bytes = codec::encode(&record).expect("a record of supported types");
        group.throughput(Throughput::Bytes(u64::try_from(bytes.len()).expect("fits")));
        group.bench_function(format!("encode/{name}"), |b| {
            b.iter(|| codec::encode(black_box(&record)));
        });
        group.bench_function(format!("decode/{name}"), |b| {
            b.iter(|| {
                codec::decode::<Record<'_>>(black_box(&bytes), 2 << 20)
                    .map(|record| record.payload.len())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, describes_a_store, reads_meta_tables, codes_records);
criterion_main!(benches);
