/* The frame of a trap: FreeBSD's layout (x86/include/frame.h), if a kernel has none of its own. */
#ifndef TRAPFRAME_H
#define TRAPFRAME_H

struct trapframe {
    register_t tf_rdi, tf_rsi, tf_rdx, tf_rcx, tf_r8, tf_r9, tf_rax, tf_rbx, tf_rbp;
    register_t tf_r10, tf_r11, tf_r12, tf_r13, tf_r14, tf_r15;
    uint32_t tf_trapno;
    uint16_t tf_fs, tf_gs;
    register_t tf_addr;
    uint32_t tf_flags;
    uint16_t tf_es, tf_ds;
    register_t tf_err, tf_rip, tf_cs, tf_rflags, tf_rsp, tf_ss;
};

#endif
