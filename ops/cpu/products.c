#include "ops/cpu/products.h"

/* A linear layer from `in` to `out` of the `row` numbers that a position's result has: y and dx are the types of what
 * comes out. */
typedef struct layer {
    int64_t positions, in, out, row;
    pawl_dtype y, dx;
} layer;

/* The products of a layer, forward and both gradients. What goes in is of `type`, and gradients of weights are f32. */
static pawl_status prepare_linear(pawl_gemm *g, const layer *l, pawl_dtype type, pawl_gemm_need *most)
{
    pawl_panel products[] = {pawl_product_y(l->positions, l->in, l->out, l->row),
                             pawl_product_dx(l->positions, l->in, l->out, l->row),
                             pawl_product_dw(l->positions, l->in, l->out, l->row)};
    products[0].c_type = l->y;
    products[1].c_type = l->dx;
    for (int i = 0; i < 3; i++)
        for (int how = 0; how < (i == 0 && l->y == PAWL_BF16 ? 4 : 2); how++) {
            pawl_panel p = products[i];
            p.add = how & 1;
            p.biased = how >> 1;
            p.a_type = p.b_type = type;
            PAWL_TRY(pawl_gemm_prepare(g, p.a_transposed ? PAWL_OVER_POSITIONS : PAWL_OVER_WIDTH, &p, most));
        }
    return PAWL_OK;
}

/* Of an adapter: down to its rank, and up into a module's columns of what the layer gives. */
static pawl_status prepare_adapted(pawl_gemm *g, const pawl_shapes *s, pawl_gemm_need *most)
{
    const int64_t N = s->positions, q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim, qkv = q + 2 * kv;
    const layer modules[] = {
        {N, s->width, q, qkv, s->type, PAWL_F32},
        {N, s->width, kv, qkv, s->type, PAWL_F32},
        {N, s->width, qkv, qkv, s->type, PAWL_F32}, /* where a module is all three */
        {N, q, s->width, s->width, PAWL_F32, s->type},
        {N, s->width, s->ff, 2 * s->ff, s->type, PAWL_F32}, /* gate, up, ... */
        {N, s->width, s->ff, s->ff, s->type, PAWL_F32},     /* ... or up alone */
        {N, s->ff, s->width, s->width, PAWL_F32, s->type},
    };
    for (size_t i = 0; s->rank && i < sizeof modules / sizeof *modules; i++) {
        const layer *m = &modules[i];
        const layer down = {N, m->in, s->rank, s->rank, s->type, m->dx}, up = {N, s->rank, m->out, m->row, m->y, s->type};
        PAWL_TRY(prepare_linear(g, &down, s->type, most));
        PAWL_TRY(prepare_linear(g, &up, s->type, most));
    }
    return PAWL_OK;
}

/* A Newton-Schulz step of a matrix in f32, as pawl_muon makes it: the Gram matrix of the smaller side, its square, and
 * their product with the matrix. */
static pawl_status prepare_newton_schulz(pawl_gemm *g, int64_t rows, int64_t cols, pawl_gemm_need *most)
{
    const int wide = rows <= cols;
    const int64_t side = wide ? rows : cols;
    const pawl_panel gram = wide ? pawl_product_y(rows, cols, rows, rows) : pawl_product_dw(rows, cols, cols, cols),
                     square = pawl_product_y(side, side, side, side),
                     next = wide ? pawl_product_dx(rows, cols, rows, rows) : pawl_product_y(rows, cols, cols, cols);
    PAWL_TRY(pawl_gemm_prepare(g, wide ? PAWL_OVER_WIDTH : PAWL_OVER_POSITIONS, &gram, most));
    PAWL_TRY(pawl_gemm_prepare(g, PAWL_OVER_WIDTH, &square, most));
    return pawl_gemm_prepare(g, PAWL_OVER_WIDTH, &next, most);
}

/* Every shape that a matrix inside the blocks can have, or an adapter's two of it. */
static pawl_status prepare_muon(pawl_gemm *g, const pawl_shapes *s, pawl_gemm_need *most)
{
    const int64_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    const int64_t matrices[][2] = {{q, s->width},     {kv, s->width}, {q + 2 * kv, s->width}, {s->width, q},
                                   {s->ff, s->width}, {s->width, s->ff}};
    for (size_t i = 0; s->muon && i < sizeof matrices / sizeof *matrices; i++) {
        const int64_t rows = matrices[i][0], cols = matrices[i][1];
        if (!s->rank) PAWL_TRY(prepare_newton_schulz(g, rows, cols, most));
        if (s->rank) PAWL_TRY(prepare_newton_schulz(g, s->rank, cols, most));
        if (s->rank) PAWL_TRY(prepare_newton_schulz(g, rows, s->rank, most));
    }
    return PAWL_OK;
}

/* For every pair of widths that a linear layer joins. */
pawl_status pawl_cpu_products(const pawl_cpu *cpu, const pawl_shapes *s, pawl_gemm_need *most)
{
    const int64_t N = s->positions, q = s->heads * s->head_dim, qkv = q + 2 * s->kv_heads * s->head_dim;
    const layer layers[] = {
        {N, s->width, qkv, qkv, s->type, PAWL_F32},
        {N, q, s->width, s->width, PAWL_F32, s->type},
        {N, s->width, 2 * s->ff, 2 * s->ff, s->type, PAWL_F32}, /* gate and up, ... */
        {N, s->width, s->ff, s->ff, s->type, PAWL_F32},         /* ... or up alone */
        {N, s->ff, s->width, s->width, PAWL_F32, s->type},
        {pawl_head_chunk(N, s->vocab), s->width, s->vocab, s->vocab, PAWL_F32, PAWL_F32},
    };
    *most = (pawl_gemm_need){0};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        PAWL_TRY(prepare_linear(cpu->gemm, &layers[i], s->type, most));
    PAWL_TRY(prepare_adapted(cpu->gemm, s, most));
    return prepare_muon(cpu->gemm, s, most);
}
