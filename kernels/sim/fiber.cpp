// Stacks and the switch between them.
#include "block.h"
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

extern "C" {
// Saves the callee-saved registers and the stack pointer to *save, and goes on where `load` was saved.
void sim_switch_stack(void** save, void* load);
void sim_fiber_start();
void sim_fiber_main() { sim::thread_loop(); }
}

#if defined(__x86_64__)
asm(R"(
.text
.globl sim_switch_stack
.type sim_switch_stack,@function
sim_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size sim_switch_stack,.-sim_switch_stack
.globl sim_fiber_start
sim_fiber_start:
    call sim_fiber_main
    ud2
)");
static void* first_frame(char* top) {
    void** words = reinterpret_cast<void**>(top) - 2;  // keeps the stack 16-byte aligned at the call
    words[0] = words[1] = nullptr;
    *--words = reinterpret_cast<void*>(sim_fiber_start);
    for (int saved = 0; saved < 6; saved++) *--words = nullptr;
    return words;
}
#elif defined(__aarch64__)
asm(R"(
.text
.globl sim_switch_stack
.type sim_switch_stack,%function
sim_switch_stack:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size sim_switch_stack,.-sim_switch_stack
.globl sim_fiber_start
sim_fiber_start:
    bl sim_fiber_main
    brk #0
)");
static void* first_frame(char* top) {
    const int link_register = 11;
    void** words = reinterpret_cast<void**>(top - 160);
    memset(words, 0, 160);
    words[link_register] = reinterpret_cast<void*>(sim_fiber_start);
    return words;
}
#else
#error "the simulated device runs on x86-64 and aarch64"
#endif

namespace sim {

static const size_t STACK = 64 << 10, GUARD_PAGE = 4096;
static std::vector<Fiber*> all_fibers;
static Fiber* free_fibers;

static Fiber* new_fiber() {
    void* memory = mmap(nullptr, STACK + GUARD_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        perror("simulated device: no memory for a stack");
        abort();
    }
    mprotect(memory, GUARD_PAGE, PROT_NONE);
    char* base = static_cast<char*>(memory) + GUARD_PAGE;
    // Stack tops on different cache sets: all stacks begin on page boundaries.
    const size_t shift = all_fibers.size() * 5 % 32 * 128;
    Fiber* fiber = new Fiber{first_frame(base + STACK - shift), base, nullptr};
    all_fibers.push_back(fiber);
    return fiber;
}

Fiber* take_fiber() {
    Fiber* fiber = free_fibers;
    if (!fiber) return new_fiber();
    free_fibers = fiber->next_free;
    return fiber;
}

void give_back(Fiber* fiber) {
    fiber->next_free = free_fibers;
    free_fibers = fiber;
}

// After a failure: fibers stopped in the midst of a kernel are of no further use.
void drop_all_fibers() {
    for (Fiber* fiber : all_fibers) {
        munmap(fiber->base - GUARD_PAGE, STACK + GUARD_PAGE);
        delete fiber;
    }
    all_fibers.clear();
    free_fibers = nullptr;
}

void switch_fiber(Fiber* from, Fiber* to) { sim_switch_stack(&from->stack_pointer, to->stack_pointer); }

bool on_stack(const Fiber* fiber, const void* address) {
    return fiber && static_cast<size_t>(static_cast<const char*>(address) - fiber->base) < STACK;
}

}  // namespace sim
