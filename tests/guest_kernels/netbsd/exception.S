/* Exceptions, each with a frame of NetBSD's layout (trapframe.h); tf_trapno: first the vector. */
#define TF_ERR 192

    .cfi_sections .debug_frame
    .text

/* Each stub is 16 bytes; 8, 10 to 14, 17, 21, 29 and 30 push an error code of their own. */
    .balign 16
    .globl exception_stubs
    .type exception_stubs, @object
exception_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if !((0x60227d00 >> vector) & 1)
    pushq $0
    .endif
    pushq $vector
    jmp alltraps
    .set vector, vector + 1
    .endr
    .size exception_stubs, . - exception_stubs

    .globl alltraps
    .type alltraps, @function
alltraps:
    subq $(TF_ERR - 8), %rsp
    movq %rdi, 0(%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %r10, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movq %rcx, 80(%rsp)
    movq %r11, 88(%rsp)
    movq %r12, 96(%rsp)
    movq %r13, 104(%rsp)
    movq %r14, 112(%rsp)
    movq %r15, 120(%rsp)
    movq %rbp, 128(%rsp)
    movq %rbx, 136(%rsp)
    movq %rax, 144(%rsp)
    cld
    .size alltraps, . - alltraps
    .type calltrap, @function
calltrap:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa rsp, 240
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    .cfi_offset rbp, -112
    .cfi_offset rbx, -104
    .cfi_offset r12, -144
    .cfi_offset r13, -136
    .cfi_offset r14, -128
    .cfi_offset r15, -120
    movq %rsp, %rdi
    call trap                   /* does not come back */
1:  hlt
    jmp 1b
    .cfi_endproc
    .size calltrap, . - calltrap
    .section .note.GNU-stack, "", @progbits
