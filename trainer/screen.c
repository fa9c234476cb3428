/* What people see: the start screen, the progress line, the scores. Facts go to stdout, progress to stderr. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "trainer/continual/stages.h"
#include "trainer/internal.h"

static int live_line; /* 1: the terminal's last line is a progress line without its newline */

static void end_live_line(void)
{
    if (live_line) fputc('\n', stderr);
    live_line = 0;
}

void pawl_screen_line(const pawl_parts *p, const char *format, ...)
{
    va_list args;
    if (p->comm->rank != 0) return;
    end_live_line();
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

static void show_model(const pawl_parts *p)
{
    const pawl_model_config *m = pawl_model_settings(p->model);
    pawl_screen_line(p, "  model    %s, %.2f M parameters: %lld layers, width %lld, %lld heads (%lld for keys and values), %lld tokens",
                     pawl_model_types[m->model_type], (double)pawl_model_parameters(p->model) / 1e6,
                     (long long)m->num_hidden_layers, (long long)m->hidden_size, (long long)m->num_attention_heads,
                     (long long)m->num_key_value_heads, (long long)m->vocab_size);
    if (p->adapter)
        pawl_screen_line(p, "  adapter  %.2f M parameters are trained over it", (double)pawl_trained_parameters(p->model, p->adapter) / 1e6);
}

static void show_memory(const pawl_parts *p, const char *what, const pawl_plan_side *plan)
{
    pawl_text line = {0};
    char size[32];
    if (plan->peak_bytes == 0) return;
    pawl_format_bytes((double)plan->peak_bytes, size);
    pawl_text_add(&line, "  %-8s %s a rank:", what, size);
    for (int i = 0; i < plan->categories; i++) {
        pawl_format_bytes((double)plan->category[i].bytes, size);
        pawl_text_add(&line, "%s %s %s", i ? "," : "", plan->category[i].name, size);
    }
    if (line.data) pawl_screen_line(p, "%s", line.data);
    pawl_text_close(&line);
}

static void show_stages(const pawl_parts *p, const pawl_stream *s)
{
    if (!p->continual || p->continual->stages.count == 0) return;
    for (int i = 0; i < s->count; i++) {
        const pawl_stage *x = &s->stages[i];
        char replay[48] = "";
        if (x->replay_ratio > 0) snprintf(replay, sizeof replay, ", %.3g %% replayed", 100 * x->replay_ratio);
        pawl_screen_line(p, "  stage    %s: steps %lld to %lld, %s from %.3g%s", x->name, (long long)x->first_step + 1, (long long)x->end_step,
                         pawl_schedule_names[x->optim.lr_scheduler], x->optim.learning_rate, replay);
    }
}

/* A warm-up of more steps than there are takes all of them: nothing is left for the schedule. */
static void warn_of_warmups(const pawl_parts *p, const pawl_stream *s)
{
    for (int i = 0; i < s->count; i++) {
        const pawl_stage *x = &s->stages[i];
        const int endless = pawl_schedule_is_endless(x->optim.lr_scheduler), named = p->continual && p->continual->stages.count > 0;
        const int64_t steps = endless ? s->steps : x->end_step - x->first_step;
        if (x->optim.warmup_steps <= steps) continue;
        pawl_log(PAWL_LOG_WARN, "warmup_steps: the %lld steps of %s%s are fewer than %lld: the learning rate rises to the last of them", (long long)steps,
                 endless || !named ? "the run" : "stage ", endless || !named ? "" : x->name, (long long)x->optim.warmup_steps);
        if (endless) break;
    }
}

void pawl_screen_start(const pawl_parts *p, const pawl_plan *plan, const pawl_stream *stream, int64_t first_step)
{
    static const char *const sharing[] = {"", ", state shared out", ", state and gradients shared out",
                                          ", state, gradients and weights shared out"}; /* by zero_stage */
    const pawl_cut cut = pawl_cut_of(p->train, p->reduce);
    pawl_text data = {0};
    if (p->comm->rank != 0) return;
    pawl_screen_line(p, "pawl %s: %d rank%s x %d thread%s, %s", PAWL_VERSION, p->comm->size, p->comm->size > 1 ? "s" : "",
                     pawl_device_threads(p->device), pawl_device_threads(p->device) > 1 ? "s" : "", pawl_device_describe(p->device));
    show_model(p);
    pawl_data_report(p->data, &data);
    for (char *at = data.data, *next; at && *at; at = next) {
        next = strchr(at, '\n');
        if (next) *next++ = 0;
        pawl_screen_line(p, "  data     %s", at);
        if (!next) break;
    }
    pawl_text_close(&data);
    show_memory(p, "GPU", &plan->device);
    show_memory(p, "memory", &plan->host);
    show_stages(p, stream);
    warn_of_warmups(p, stream);
    if (first_step >= plan->steps) {
        pawl_screen_line(p, "  plan     nothing: the run is finished, at step %lld", (long long)first_step);
        return;
    }
    pawl_screen_line(p, "  plan     steps %lld to %lld, each %lld rows in %lld slots of %lld, %d lanes, %s reduction%s, %s from %.3g, %.3g FLOP",
                     (long long)first_step + 1, (long long)plan->steps, (long long)cut.rows, (long long)cut.slots,
                     (long long)cut.micro, cut.lanes, pawl_reduction_names[p->reduce->reduction], sharing[p->reduce->zero_stage],
                     pawl_schedule_names[p->optim->lr_scheduler], p->optim->learning_rate, plan->flops);
    pawl_screen_line(p, "  output   %s", p->train->output_dir);
}

void pawl_screen_step(const pawl_parts *p, const pawl_step_report *r, int64_t step, int64_t steps, pawl_pace *pace)
{
    char eta[32];
    const int live = p->live;
    if (p->comm->rank != 0) return;
    if (!live && step % p->train->logging_steps != 0 && step != steps) return;
    pawl_format_seconds(pawl_pace_left(pace, steps - step), eta);
    fprintf(stderr, "%sstep %lld/%lld  loss %.4f  lr %.3g  norm %.3g  %.0f tokens/s  ETA %s%s", live ? "\r" : "", (long long)step,
            (long long)steps, r->loss, r->lr, r->grad_norm, pawl_pace_rate(pace), eta, live ? "\033[K" : "\n");
    live_line = live;
    if (step == steps) end_live_line();
}

/* Of rows that the model writes itself; where stderr is no terminal, a line for every tenth of them. */
void pawl_screen_writing(const pawl_parts *p, int64_t done, int64_t rows)
{
    static int64_t told = -1;
    if (p->comm->rank != 0 || (!p->live && done * 10 / rows == told)) return;
    told = done * 10 / rows;
    fprintf(stderr, "%swritten %lld of %lld rows%s", p->live ? "\r" : "", (long long)done, (long long)rows, p->live ? "\033[K" : "\n");
    live_line = p->live;
}

void pawl_screen_evaluating(const pawl_parts *p)
{
    int64_t rows = 0;
    for (int d = 0; d < pawl_data_domains(p->data, PAWL_HELD_OUT); d++)
        rows += pawl_data_rows_of(p->data, PAWL_HELD_OUT, d) + pawl_data_rows_of(p->data, PAWL_CHOICE_ROWS, d);
    if (p->comm->rank != 0) return;
    end_live_line();
    fprintf(stderr, "measuring %lld held-out rows\n", (long long)rows);
}

void pawl_screen_scores(const pawl_parts *p, int64_t step, const pawl_score *scores)
{
    for (int d = 0; d < pawl_data_domains(p->data, PAWL_HELD_OUT); d++) {
        const pawl_score *s = &scores[d];
        char chosen[96] = "", gone[48] = "";
        if (s->questions)
            snprintf(chosen, sizeof chosen, "  accuracy %.4f, by bytes %.4f of %lld questions", pawl_score_accuracy(s),
                     pawl_score_accuracy_norm(s), (long long)s->questions);
        if (s->kl_tokens) snprintf(gone, sizeof gone, "  KL %.4f", s->kl);
        pawl_screen_line(p, "  held out at step %lld: %-16s loss %.4f  perplexity %.2f  bits/byte %.4f%s%s",
                         (long long)step, pawl_data_domain(p->data, PAWL_HELD_OUT, d), s->loss,
                         pawl_score_perplexity(s), pawl_score_bits_per_byte(s), gone, chosen);
    }
}
