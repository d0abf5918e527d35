//! `lattice history`: the ops of a store, as lines or as a graph.

use std::collections::{HashMap, HashSet};

use console::truncate_str;
use lattice_backend::op::{ApplyIndex, Op, OpKind, OpRef};
use renderdag::{Ancestor, GraphRowRenderer, Renderer};
use serde_json::json;

use super::timestamp;
use crate::StoreHandle;
use crate::program::args::{self, HistoryFormat};
use crate::program::bulk::plural;
use crate::program::columns::CUT;
use crate::program::context::Context;
use crate::program::failure::Failure;
use crate::program::output::{escape_text, styles};
use crate::program::pager;

/// In a graph of more ops than this, each linear run is drawn as one node.
const DRAWN_OPS: usize = 2000;
/// The label for ops older than those requested.
const OLDER: &str = "older ops";

pub(super) fn history(context: &mut Context<'_>, history: &args::History) -> Result<(), Failure> {
    let path = context.path(&history.store.store)?;
    context.note_read(&history.store.store, &path);
    let store = context.node.manager().open_history(path)?;
    pager::show(context);
    let count = store.op_count()?;
    let first = count.saturating_sub(history.limit.unwrap_or(u64::MAX));
    let is_graph = history.graph || history.format != HistoryFormat::Text;
    if !is_graph || context.out.is_json() {
        for index in (first..count).rev() {
            let op = op_at(&*store, index)?;
            print_op(context, &*store, index, &op)?;
        }
        return Ok(());
    }
    let nodes = nodes(&*store, first, count)?;
    match history.format {
        HistoryFormat::Text => draw(context, &*store, &nodes),
        HistoryFormat::Dot => dot(context, &*store, &nodes),
        HistoryFormat::Mermaid => mermaid(context, &*store, &nodes),
    }
}

fn op_at(store: &dyn StoreHandle, index: u64) -> Result<Op, Failure> {
    let missing = || {
        Failure::damaged(format!(
            "store {} is damaged: its history has no op with index {index}",
            store.store_id()
        ))
    };
    store.op_at(ApplyIndex::new(index))?.ok_or_else(missing)
}

fn print_op(
    context: &mut Context<'_>,
    store: &dyn StoreHandle,
    index: u64,
    op: &Op,
) -> Result<(), Failure> {
    let reference = op.reference();
    let what = store.describe(op);
    let parents: Vec<_> = op.parents().map(|parent| parent.id).collect();
    let kind = match op.kind() {
        OpKind::Merge => "merge",
        _ => "application",
    };
    let value = json!({
        "apply_index": index,
        "op": reference.id,
        "author": reference.author,
        "seq": reference.seq.to_string(),
        "time": op.hlc().ms(),
        "kind": kind,
        "parents": parents,
        "what": what,
    });
    context.out.either(value, |out| {
        let id = out.paint(styles::NAME, &format!("{:.8}", reference.id));
        let by = format!("{}  {:.8}", timestamp(op.hlc().ms()), reference.author);
        format!(
            "{id}  {}  {}",
            out.paint(styles::FAINT, &by),
            escape_text(&what)
        )
    })
}

/// A node of the graph: an op, or a linear run of ops.
struct Node {
    /// The newest op of the run.
    op: OpRef,
    index: u64,
    /// The number of ops in the run.
    ops: u64,
    /// The parent nodes.
    parents: Vec<OpRef>,
}

/// Parents of nodes that are not drawn themselves, without duplicates.
fn not_drawn(nodes: &[Node]) -> Vec<OpRef> {
    let drawn: HashSet<OpRef> = nodes.iter().map(|node| node.op).collect();
    let parents = nodes.iter().flat_map(|node| &node.parents).copied();
    let mut told = HashSet::new();
    parents
        .filter(|op| !drawn.contains(op) && told.insert(*op))
        .collect()
}

/// The nodes of a range of history, newest first.
fn nodes(store: &dyn StoreHandle, first: u64, count: u64) -> Result<Vec<Node>, Failure> {
    let mut nodes = Vec::new();
    let mut children = HashMap::<OpRef, u32>::new();
    for index in (first..count).rev() {
        let op = op_at(store, index)?;
        let parents: Vec<OpRef> = op.parents().collect();
        for parent in &parents {
            *children.entry(*parent).or_insert(0) += 1;
        }
        nodes.push(Node {
            op: op.reference(),
            index,
            ops: 1,
            parents,
        });
    }
    if nodes.len() <= DRAWN_OPS {
        return Ok(nodes);
    }
    Ok(collapse(nodes, &children))
}

/// Joins each op that has one parent and one child to its child, if the child is such an op too.
fn collapse(nodes: Vec<Node>, children: &HashMap<OpRef, u32>) -> Vec<Node> {
    // The parent of each run's oldest op, mapped to the run's index in `drawn`.
    let mut runs = HashMap::<OpRef, usize>::new();
    let mut drawn = Vec::<Node>::new();
    for node in nodes {
        let is_plain = node.parents.len() == 1 && children.get(&node.op) == Some(&1);
        let run = runs.remove(&node.op).filter(|_| is_plain);
        let place = match run {
            Some(place) => {
                drawn[place].ops += 1;
                drawn[place].parents = node.parents;
                place
            }
            None => {
                drawn.push(node);
                drawn.len() - 1
            }
        };
        if is_plain && let [parent] = drawn[place].parents[..] {
            runs.insert(parent, place);
        }
    }
    drawn
}

/// The label of a node.
fn label(store: &dyn StoreHandle, node: &Node) -> Result<String, Failure> {
    let op = op_at(store, node.index)?;
    let time = timestamp(op.hlc().ms());
    let by = format!("{:.8}  {time}  {:.8}", node.op.id, node.op.author);
    Ok(match node.ops {
        1 => format!("{by}  {}", escape_text(&store.describe(&op))),
        ops => format!("{by}  and {} before it", plural(ops - 1, ("op", "ops"))),
    })
}

fn draw(context: &mut Context<'_>, store: &dyn StoreHandle, nodes: &[Node]) -> Result<(), Failure> {
    let renderer = GraphRowRenderer::new().output().with_min_row_height(1);
    let mut renderer = renderer.build_box_drawing();
    let drawn: HashSet<OpRef> = nodes.iter().map(|node| node.op).collect();
    for node in nodes {
        let parent = |op: &OpRef| match drawn.contains(op) {
            true => Ancestor::Parent(*op),
            false => Ancestor::Anonymous,
        };
        let parents = node.parents.iter().map(parent).collect();
        let glyph = if node.ops == 1 { "o" } else { ":" };
        let row = renderer.next_row(node.op, parents, glyph.into(), label(store, node)?);
        match context.out.width() {
            // A continued line would cross the edges.
            Some(columns) => row
                .lines()
                .try_for_each(|line| context.out.line(&truncate_str(line, columns, CUT)))?,
            None => context.out.raw(row.as_bytes())?,
        }
    }
    Ok(())
}

fn dot(context: &mut Context<'_>, store: &dyn StoreHandle, nodes: &[Node]) -> Result<(), Failure> {
    context.out.line("digraph history {")?;
    context
        .out
        .line("  rankdir=BT; node [shape=box, fontname=monospace];")?;
    for node in nodes {
        let label = label(store, node)?
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        context
            .out
            .line(&format!("  \"{}\" [label=\"{label}\"];", node.op.id))?;
        for parent in &node.parents {
            context
                .out
                .line(&format!("  \"{}\" -> \"{}\";", node.op.id, parent.id))?;
        }
    }
    for op in not_drawn(nodes) {
        context.out.line(&format!(
            "  \"{}\" [label=\"{OLDER}\", style=dashed];",
            op.id
        ))?;
    }
    context.out.line("}")
}

fn mermaid(
    context: &mut Context<'_>,
    store: &dyn StoreHandle,
    nodes: &[Node],
) -> Result<(), Failure> {
    context.out.line("graph BT")?;
    for node in nodes {
        let label = label(store, node)?
            .replace('"', "#quot;")
            .replace('<', "#lt;");
        context
            .out
            .line(&format!("  {}[\"{label}\"]", node.op.id))?;
        for parent in &node.parents {
            context
                .out
                .line(&format!("  {} --> {}", node.op.id, parent.id))?;
        }
    }
    for op in not_drawn(nodes) {
        context.out.line(&format!("  {}[\"{OLDER}\"]", op.id))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lattice_meta::OpId;
    use lattice_meta::PubKey;

    use super::*;

    fn op(number: u64) -> OpRef {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        OpRef {
            author: PubKey::from_bytes([1; 32]),
            seq: number,
            id: OpId::from_bytes(id),
        }
    }

    /// Collapses a history, given as the parents of each op from the first on.
    fn collapsed(parents: &[&[u64]]) -> Vec<(u64, u64, Vec<u64>)> {
        let mut children = HashMap::new();
        let mut nodes = Vec::new();
        for (index, parents) in (0_u64..).zip(parents) {
            for parent in *parents {
                *children.entry(op(*parent)).or_insert(0) += 1;
            }
            let parents = parents.iter().map(|parent| op(*parent)).collect();
            let op = op(index);
            let ops = 1;
            nodes.push(Node {
                op,
                index,
                ops,
                parents,
            });
        }
        nodes.reverse();
        let drawn = collapse(nodes, &children);
        let told = |node: Node| {
            let parents = node.parents.iter().map(|op| op.seq).collect();
            (node.index, node.ops, parents)
        };
        drawn.into_iter().map(told).collect()
    }

    #[test]
    fn a_chain_collapses_to_its_ends_and_one_run() {
        let line: [&[u64]; 5] = [&[], &[0], &[1], &[2], &[3]];
        // The first op has no parent, and the last has no child.
        assert_eq!(
            collapsed(&line),
            [(4, 1, vec![3]), (3, 3, vec![0]), (0, 1, vec![])]
        );
    }

    #[test]
    fn forks_and_merges_are_not_collapsed() {
        // The parent of 1 and 2 is 0; of 3 and 4, 1; of 5, 2; 6 has the parents 4 and 5.
        let history: [&[u64]; 7] = [&[], &[0], &[0], &[1], &[3], &[2], &[4, 5]];
        assert_eq!(
            collapsed(&history),
            [
                (6, 1, vec![4, 5]),
                (5, 2, vec![0]),
                (4, 3, vec![0]),
                (0, 1, vec![]),
            ]
        );
    }
}
