#include "comm/lanes.h"

#include "comm/comm.h"

void pawl_lanes_of(int lanes, int rank, int size, int *first, int *end)
{
    *first = (int)((int64_t)lanes * rank / size);
    *end = (int)((int64_t)lanes * (rank + 1) / size);
}

int pawl_node_split(pawl_node n)
{
    int left = 1;
    while (2 * left < n.end - n.first) left *= 2;
    return n.first + left;
}

int pawl_is_node(int lanes, pawl_node n)
{
    pawl_node at = {0, lanes};
    while (at.first != n.first || at.end != n.end) {
        if (at.end - at.first < 2) return 0;
        const int split = pawl_node_split(at);
        if (n.end <= split) at.end = split;
        else if (n.first >= split) at.first = split;
        else return 0;
    }
    return 1;
}

static int collect(pawl_node at, int first, int end, pawl_node *out)
{
    if (at.end <= first || end <= at.first) return 0;
    if (first <= at.first && at.end <= end) {
        *out = at;
        return 1;
    }
    const int split = pawl_node_split(at);
    const int n = collect((pawl_node){at.first, split}, first, end, out);
    return n + collect((pawl_node){split, at.end}, first, end, out + n);
}

int pawl_nodes_inside(int lanes, int first, int end, pawl_node out[PAWL_NODES_MAX])
{
    return collect((pawl_node){0, lanes}, first, end, out);
}

int pawl_nodes_alive(int lanes, int first, int end)
{
    int alive = 0;
    for (int lane = first; lane < end; lane++) { /* before a lane's own sums, what is done lies in its largest nodes */
        pawl_node done[PAWL_NODES_MAX];
        const int n = pawl_nodes_inside(lanes, first, lane, done) + 1;
        if (n > alive) alive = n;
    }
    return alive;
}
