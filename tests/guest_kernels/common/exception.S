/* Exceptions, each with a frame of FreeBSD's layout (struct trapframe, trapframe.h). */
#define TF_TRAPNO 120
#define TF_ERR 144

    .cfi_sections .debug_frame
    .text
/* Each stub is 16 bytes and makes the same frame; 8, 10 to 14, 17, 21, 29 and 30 push an error
   code of their own (Intel SDM volume 3, 6.13). */
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
    subq $TF_ERR, %rsp
    pushq $vector
    jmp alltraps
    .set vector, vector + 1
    .endr
    .size exception_stubs, . - exception_stubs

    .globl alltraps
    .type alltraps, @function
alltraps:
    popq TF_TRAPNO(%rsp)        /* the address is computed after RSP has risen */
    movq %rdi, 0(%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movq %rax, 48(%rsp)
    movq %rbx, 56(%rsp)
    movq %rbp, 64(%rsp)
    movq %r10, 72(%rsp)
    movq %r11, 80(%rsp)
    movq %r12, 88(%rsp)
    movq %r13, 96(%rsp)
    movq %r14, 104(%rsp)
    movq %r15, 112(%rsp)
    movq %cr2, %rax
    movq %rax, 128(%rsp)
    cld
    .size alltraps, . - alltraps
    .globl calltrap
    .type calltrap, @function
calltrap:
    .cfi_startproc simple
    .cfi_signal_frame
    .cfi_def_cfa rsp, 192
    .cfi_offset rip, -40
    .cfi_offset rsp, -16
    .cfi_offset rbp, -128
    .cfi_offset rbx, -136
    .cfi_offset r12, -104
    .cfi_offset r13, -96
    .cfi_offset r14, -88
    .cfi_offset r15, -80
    movq %rsp, %rdi
    call trap                   /* does not come back */
1:  hlt
    jmp 1b
    .cfi_endproc
    .size calltrap, . - calltrap
    .section .note.GNU-stack, "", @progbits
