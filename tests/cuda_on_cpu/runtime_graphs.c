/* The runtime's stand-in: what is put on a stream while it is being captured, and goes there again as a graph. The
 * work of a graph is put on the stream piece by piece, so that other streams get on between its pieces as anywhere.
 * What a capture forbids, or would leave out of the graph without a word, spoils it (PAWL_STANDIN_CAPTURE_FAILS:
 * everything does); an event in it, too, which would be allowed for forks that pawl does not have. */
#include <stdlib.h>

#include "tests/cuda_on_cpu/runtime.h"

enum { MOST = 1 << 12 };

struct CUgraph_st {
    int count;
    standin_work *list[MOST];
};
struct CUgraphExec_st {
    struct CUgraph_st of;
};

static cudaStream_t capturing; /* NULL: none is */
static pthread_t by;
static int spoiled;
static cudaGraph_t graph;
static long launches;

static int is_mine(void)
{
    return capturing && pthread_equal(by, pthread_self());
}

int standin_captures(cudaStream_t s, standin_work *w)
{
    if (is_mine() && s == NULL) spoiled = 1;
    if (!capturing || s != capturing) return 0;
    if (w->poll) spoiled = 1;
    if (graph->count == MOST) abort();
    graph->list[graph->count++] = w;
    w->holders++;
    return 1;
}

int standin_spoils_capture(cudaStream_t s)
{
    if (!is_mine() && (!capturing || s != capturing)) return 0;
    spoiled = 1;
    return 1;
}

__attribute__((visibility("default"))) long standin_graph_launches(void)
{
    return launches;
}

static void let_go(const struct CUgraph_st *g)
{
    pthread_mutex_lock(&standin_lock);
    for (int i = 0; i < g->count; i++) standin_let_go(g->list[i]);
    pthread_mutex_unlock(&standin_lock);
}

/* ---- the runtime's names ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    cudaError_t code = cudaErrorStreamCaptureUnsupported;
    (void)mode;
    STANDIN_TRY(standin_at_hand());
    pthread_mutex_lock(&standin_lock);
    if (s && !capturing) {
        graph = calloc(1, sizeof *graph);
        if (!graph) abort();
        capturing = s;
        by = pthread_self();
        spoiled = 0;
        code = cudaSuccess;
    }
    pthread_mutex_unlock(&standin_lock);
    return standin_said(code);
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    *out = NULL;
    if (!is_mine() || s != capturing) return standin_said(cudaErrorStreamCaptureUnmatched);
    pthread_mutex_lock(&standin_lock);
    const cudaGraph_t made = graph;
    const int whole = !spoiled && !getenv("PAWL_STANDIN_CAPTURE_FAILS");
    capturing = NULL;
    graph = NULL;
    if (whole) *out = made;
    pthread_mutex_unlock(&standin_lock);
    if (!whole) cudaGraphDestroy(made);
    return standin_said(whole ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    let_go(g);
    free(g);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long flags)
{
    if (flags || standin_spoils_capture(NULL)) return standin_said(cudaErrorInvalidValue);
    *out = calloc(1, sizeof **out);
    if (!*out) return cudaErrorMemoryAllocation;
    pthread_mutex_lock(&standin_lock);
    (*out)->of = *g;
    for (int i = 0; i < g->count; i++) g->list[i]->holders++;
    pthread_mutex_unlock(&standin_lock);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t g, cudaStream_t s)
{
    STANDIN_TRY(standin_at_hand());
    pthread_mutex_lock(&standin_lock);
    const int refused = standin_spoils_capture(s);
    for (int i = 0; i < g->of.count && !refused; i++) standin_put_work(s, g->of.list[i]);
    launches += !refused;
    pthread_mutex_unlock(&standin_lock);
    return standin_said(refused ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g)
{
    let_go(&g->of);
    free(g);
    return cudaSuccess;
}
