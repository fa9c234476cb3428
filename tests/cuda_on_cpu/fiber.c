#include "tests/cuda_on_cpu/fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
enum { STACK_BYTES = 256 << 10 };
static void told_start(void **fake, const void *bottom, size_t bytes) { __sanitizer_start_switch_fiber(fake, bottom, bytes); }
static void told_finish(void *fake, const void **bottom, size_t *bytes) { __sanitizer_finish_switch_fiber(fake, bottom, bytes); }
static void forget(const char *stack, int whole)
{
    const size_t bytes = whole ? STACK_BYTES : 4 << 10;
    __asan_unpoison_memory_region(stack + STACK_BYTES - bytes, bytes);
}
#else
enum { STACK_BYTES = 64 << 10 };
static void told_start(void **fake, const void *bottom, size_t bytes) { (void)fake, (void)bottom, (void)bytes; }
static void told_finish(void *fake, const void **bottom, size_t *bytes) { (void)fake, (void)bottom, (void)bytes; }
static void forget(const char *stack, int whole) { (void)stack, (void)whole; }
#endif

/* Where a fiber, or whoever entered it, goes on. */
#if defined(__x86_64__)
typedef void *place;
void pawl_fiber_switch(place *save, place to);
/* What a call keeps goes on the old stack, and comes from the new one. */
__asm__(".text\n"
        ".globl pawl_fiber_switch\n"
        ".type pawl_fiber_switch, @function\n"
        "pawl_fiber_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n"
        ".size pawl_fiber_switch, .-pawl_fiber_switch\n");
static void change(place *from, place *to) { pawl_fiber_switch(from, *to); }
static void begin_at(place *p, char *stack, void (*body)(void))
{
    uintptr_t *top = (uintptr_t *)(void *)(stack + STACK_BYTES);
    top[-2] = (uintptr_t)body; /* a call leaves the stack 8 bytes off 16 */
    for (int i = 3; i <= 8; i++) top[-i] = 0;
    *p = top - 8;
}
#else
typedef ucontext_t place;
static void change(place *from, place *to) { (void)swapcontext(from, to); }
static void begin_at(place *p, char *stack, void (*body)(void))
{
    (void)getcontext(p);
    p->uc_stack.ss_sp = stack;
    p->uc_stack.ss_size = STACK_BYTES;
    p->uc_link = NULL;
    makecontext(p, body, 0);
}
#endif

struct fiber {
    place here, back;
    char *stack;
    void (*body)(void);
    int ended; /* by itself, so that nothing is left on its stack but the frames of those that do not return */
    void *fake, *fake_back;
    const void *stack_back;
    size_t bytes_back;
};

static fiber *entered;

fiber *fiber_new(void)
{
    fiber *f = calloc(1, sizeof *f);
    f->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f->stack == MAP_FAILED) abort();
    return f;
}

static void first(void)
{
    told_finish(NULL, &entered->stack_back, &entered->bytes_back);
    entered->body();
    abort();
}

void fiber_begin(fiber *f, void (*body)(void))
{
    forget(f->stack, !f->ended);
    f->ended = 0;
    f->body = body;
    f->fake = NULL;
    begin_at(&f->here, f->stack, first);
}

void fiber_enter(fiber *f)
{
    entered = f;
    told_start(&f->fake_back, f->stack, STACK_BYTES);
    change(&f->back, &f->here);
    told_finish(f->fake_back, NULL, NULL);
}

void fiber_leave(fiber *f, int last)
{
    f->ended = last;
    told_start(last ? NULL : &f->fake, f->stack_back, f->bytes_back);
    change(&f->here, &f->back);
    told_finish(f->fake, &f->stack_back, &f->bytes_back);
}
