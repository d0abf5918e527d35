//! Authors who fork.

use super::*;

#[test]
fn are_kept_as_evidence_in_every_order_of_arrival() {
    let author = secret(2);
    let root = op(&author, None, &[], 0, &set("root"));
    let left = op(&author, Some(&root), &[], 1, &set("left"));
    let right = op(&author, Some(&root), &[], 1, &set("right"));
    let more = op(&author, Some(&right), &[], 2, &set("more"));
    let most = op(&author, Some(&more), &[], 3, &set("most"));
    let other_root = op(&author, None, &[], 9, &set("other root"));
    let orders: [[&Op; 6]; 4] = [
        [&root, &left, &right, &more, &most, &other_root],
        [&other_root, &root, &right, &more, &most, &left],
        [&root, &right, &left, &other_root, &more, &most],
        [&root, &right, &more, &most, &other_root, &left],
    ];
    let stores = orders.map(|order| {
        let store = replica(1);
        for op in order {
            assert_eq!(ingest(&store, &[op]).applied(), 1);
            assert_whole(&store);
        }
        store
    });
    assert_converged(&stores.each_ref());
    let forks = stores[0].forks().unwrap();
    assert_eq!(forks.len(), 2);
    assert_eq!((forks[0].seq, forks[0].ops.len()), (0, 2));
    assert_eq!((forks[1].seq, forks[1].ops.len()), (1, 2));
    for evidence in forks.iter().flat_map(|fork| &fork.ops) {
        assert_eq!(evidence.author, author.public());
        let evidence = stores[0].op(evidence).unwrap().unwrap();
        evidence.verify().unwrap();
    }
}

/// A restored backup continues under the same key: both branches count, and the next op joins them.
#[test]
fn of_the_node_itself_are_joined_by_its_next_op() {
    let (one, two) = (replica(1), replica(1));
    append(&one, "a", "1");
    pull(&one, &two);
    append(&one, "a", "2");
    append(&two, "b", "2");
    append(&two, "b", "3");
    pull(&two, &one);
    let joined = append(&one, "a", "4");
    assert_eq!(joined.reference().seq, 3);
    assert_eq!(joined.deps().len(), 1);
    assert_eq!(one.frontier().unwrap(), [joined.reference()]);
    pull(&one, &two);
    assert_converged(&[&one, &two]);
    assert_eq!(two.forks().unwrap().len(), 1);
}
