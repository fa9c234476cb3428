/* Which steps are recorded, and what the machine does at best. */
#include "trainer/profile.h"

#include <stdio.h>

#include "core/arena.h"
#include "trainer/internal.h"

size_t pawl_profiler_bytes(const pawl_parts *p)
{
    return pawl_spans_bytes(pawl_device_threads(p->device));
}

pawl_status pawl_profiler_open(const pawl_parts *p, pawl_profiler **out)
{
    pawl_profiler *r;
    *out = NULL;
    if (!p->profile) return PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&r, sizeof *r, "the profile"));
    r->p = p;
    const pawl_status s = pawl_spans_open(pawl_device_threads(p->device), &r->spans);
    if (s != PAWL_OK) {
        pawl_free(r);
        return s;
    }
    *out = r;
    return PAWL_OK;
}

void pawl_profiler_close(pawl_profiler *r)
{
    if (!r) return;
    pawl_spans_record(NULL);
    pawl_device_time(r->p->device, NULL);
    pawl_spans_close(r->spans);
    pawl_free(r);
}

/* Ranks measure at the same time, since they will compute at the same time. */
static pawl_status measure_machine(pawl_profiler *r)
{
    pawl_device *d = r->p->device;
    PAWL_TRY(pawl_barrier(r->p->comm));
    r->rates.f32_flops = r->rates.bf16_flops = pawl_device_gemm_rate(d, PAWL_F32);
    if (r->p->train->bf16) r->rates.bf16_flops = pawl_device_gemm_rate(d, PAWL_BF16);
    PAWL_TRY(pawl_barrier(r->p->comm));
    r->rates.bytes = pawl_device_memory_rate(d);
    return PAWL_OK;
}

/* Unless it was told otherwise: from the second step of this process on, since the first makes the kernels. */
static void choose_steps(pawl_profiler *r, int64_t done)
{
    const pawl_profile_config *c = r->p->profile;
    const int64_t steps = pawl_total_steps(r->p);
    r->first = c->first ? c->first : done + 2 <= steps ? done + 2 : done + 1;
    r->last = c->last ? c->last : INT64_MAX;
}

pawl_status pawl_profiler_begin(pawl_profiler *r, int64_t done)
{
    if (!r) return PAWL_OK;
    pawl_watch("measuring the machine", (double)r->p->reduce->phase_seconds);
    choose_steps(r, done);
    PAWL_TRY(measure_machine(r));
    PAWL_TRY(pawl_agree(r->p->comm, r->rates.f32_flops > 0 && r->rates.bf16_flops > 0 && r->rates.bytes > 0
                                        ? PAWL_OK
                                        : PAWL_FAIL(PAWL_EMEM, "no memory to measure the machine with (--profile)")));
    return pawl_clock_measure(r->p->comm, &r->clock);
}

int pawl_profiler_step(pawl_profiler *r, int64_t step)
{
    if (!r || r->reported || step < r->first || step > r->last) return -1;
    if (r->steps == 0) {
        pawl_device_time(r->p->device, &r->rates);
        pawl_spans_record(r->spans);
        r->zero = pawl_span_now();
    }
    pawl_spans_mark(r->spans);
    return pawl_span_begin("step");
}

void pawl_profiler_step_done(pawl_profiler *r, int span, int64_t step, double seconds)
{
    if (span < 0) return;
    pawl_span_end(span);
    if (r->steps < PAWL_PROFILE_STEPS) r->seconds[r->steps] = seconds;
    r->steps++;
    r->ended = step;
}

int pawl_profiler_due(const pawl_profiler *r, int64_t done)
{
    return r && !r->reported && r->steps > 0 && done >= r->last;
}

static pawl_status report(pawl_profiler *r, const pawl_plan *plan)
{
    pawl_profile f = {0};
    pawl_status s = pawl_profile_gather(r, &f);
    if (s == PAWL_OK) s = pawl_agree(r->p->comm, r->p->comm->rank == 0 ? pawl_profile_write(r, &f, plan) : PAWL_OK);
    if (s == PAWL_OK) s = pawl_trace_write(r);
    if (s == PAWL_OK && r->p->comm->rank == 0) pawl_profile_show(r, &f, plan);
    pawl_profile_free(&f);
    return s;
}

pawl_status pawl_profiler_report(pawl_profiler *r, const pawl_plan *plan)
{
    pawl_clock again;
    if (!r || r->reported) return PAWL_OK;
    r->reported = 1;
    pawl_spans_record(NULL);
    pawl_device_time(r->p->device, NULL);
    if (r->steps == 0) {
        pawl_screen_line(r->p, "profile: no step was recorded: the run had none of those asked for");
        return PAWL_OK;
    }
    pawl_watch("writing the profile", (double)r->p->reduce->phase_seconds);
    PAWL_TRY(pawl_clock_measure(r->p->comm, &again));
    const int64_t drift = again.offset_ns - r->clock.offset_ns, error = again.error_ns > r->clock.error_ns ? again.error_ns : r->clock.error_ns;
    r->clock = (pawl_clock){r->clock.offset_ns + drift / 2, error + (drift < 0 ? -drift : drift) / 2};
    return report(r, plan);
}
