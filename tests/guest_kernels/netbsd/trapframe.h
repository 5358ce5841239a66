/* The frame of a trap in NetBSD/amd64 (arch/amd64/include/frame_regs.h). */
#ifndef TRAPFRAME_H
#define TRAPFRAME_H

struct trapframe {
    uint64_t tf_rdi, tf_rsi, tf_rdx, tf_r10, tf_r8, tf_r9, tf_arg6, tf_arg7, tf_arg8, tf_arg9;
    uint64_t tf_rcx, tf_r11, tf_r12, tf_r13, tf_r14, tf_r15, tf_rbp, tf_rbx, tf_rax;
    uint64_t tf_gs, tf_fs, tf_es, tf_ds, tf_trapno, tf_err, tf_rip, tf_cs, tf_rflags, tf_rsp, tf_ss;
};

#endif
