/*
 * Interrupts 0x20 to 0x5f for bare guests. The handler goes on behind irq_halt or irq_spin, with
 * interrupts off: no iret, as in bare.S.
 */
    .text
    .globl irq_stubs, irq_halt, irq_spin
    .balign 16
irq_stubs:
    .set vector, 0x20
    .rept 0x40
    .balign 16
    pushl $vector
    jmp came
    .set vector, vector + 1
    .endr

came:
    popl irq_vector
    incl irq_count
    movl irq_stack, %esp
    movl irq_vector, %eax
    jmp leave

/* uint32_t irq_halt(void): interrupts on, and HLT: the vector that came. */
irq_halt:
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    movl %esp, irq_stack
    sti
    hlt
    cli
    xorl %eax, %eax
    jmp leave

/* uint32_t irq_spin(uint32_t turns): interrupts on for so many turns: the vector that came, or 0. */
irq_spin:
    movl 4(%esp), %ecx
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    movl %esp, irq_stack
    sti
1:  decl %ecx
    jnz 1b
    cli
    xorl %eax, %eax
leave:
    popl %ebp
    popl %edi
    popl %esi
    popl %ebx
    ret

    .bss
    .globl irq_vector, irq_count
    .balign 4
irq_vector:
    .skip 4
irq_count:
    .skip 4
irq_stack:
    .skip 4
    .section .note.GNU-stack, "", @progbits
