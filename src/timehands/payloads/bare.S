/*
 * How a bare guest starts (PVH: 32-bit protected mode, paging off, EBX = start_info), takes
 * exceptions, and ends. Facts: Xen's docs/misc/pvh.pandoc and public/elfnote.h; Intel SDM volume 3,
 * 6.13 (which exceptions push an error code).
 */
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 4, 18              /* name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long bare_start

    .text
    .code32
    .globl bare_start
bare_start:
    cld
    movl $stack_top, %esp
    lgdt gdt_pointer            /* our own: where the VMM keeps its one is not told */
    ljmp $8, $1f
1:  movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    call make_idt
    lidt idt_pointer
    pushl %ebx
    call bare_main
    jmp bare_end

/* The end that every machine type has: a triple fault, which resets. (ud2 and not int3: KVM's
   instruction emulator cannot deliver a software interrupt in this mode.) */
    .globl bare_end
bare_end:
    lidt no_idt
    ud2
    hlt
    jmp bare_end

/* The 32 gates of the table of stubs. */
make_idt:
    movl $idt, %edi
    movl $stubs, %esi
    movl $32, %ecx
/* Fill ECX gates at EDI for the stubs at ESI, 16 bytes apart (interrupt gates: present, ring 0, 32
   bits). Destroys EAX, ECX, ESI, EDI. */
    .globl bare_gates
bare_gates:
1:  movl %esi, %eax
    movw %ax, (%edi)
    movw $8, 2(%edi)
    movw $0x8e00, 4(%edi)
    shrl $16, %eax
    movw %ax, 6(%edi)
    addl $8, %edi
    addl $16, %esi
    loop 1b
    ret

/* Each stub makes the same frame: vector, error code, EIP, CS, EFLAGS. 8, 10 to 14, 17, 21, 29 and
   30 push their own error code. */
    .balign 16
stubs:
    .set vector, 0
    .rept 32
    .balign 16
    .if !((0x60227d00 >> vector) & 1)
    pushl $0
    .endif
    pushl $vector
    jmp fault
    .set vector, vector + 1
    .endr

/* A fault that was expected goes on at bare_fixup; any other one is told and ends the guest.
   No iret: KVM's instruction emulator, where it has to run such code, knows none in this mode. */
fault:
    cmpl $0, bare_fixup
    je 1f
    incl bare_faults
    addl $20, %esp              /* vector, error code, EIP, CS, EFLAGS */
    jmp *bare_fixup
1:  incl bare_faults
    cmpl $1, bare_faults        /* one that comes while the last one is being told: enough */
    jne bare_end
    call bare_fault             /* arguments: vector, error code, EIP */
    jmp bare_end

/* uint32_t bare_rdmsr(uint32_t msr, uint32_t value[2]): 0, or 1 when the CPU refused. */
    .globl bare_rdmsr
bare_rdmsr:
    movl $1f, bare_fixup
    movl 4(%esp), %ecx
    xorl %eax, %eax
    xorl %edx, %edx
    rdmsr
1:  movl $0, bare_fixup
    movl 8(%esp), %ecx
    movl %eax, (%ecx)
    movl %edx, 4(%ecx)
    xorl %eax, %eax
    xchgl %eax, bare_faults
    ret

    .data
    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff    /* 8: code, 4 GiB */
    .quad 0x00cf93000000ffff    /* 16: data, 4 GiB */
gdt_pointer:
    .word . - gdt - 1
    .long gdt
idt_pointer:
    .word 32 * 8 - 1
    .long idt
no_idt:
    .word 0
    .long 0
    .globl bare_fixup, bare_faults
bare_fixup:
    .long 0
bare_faults:
    .long 0

    .bss
    .balign 16
idt:
    .skip 32 * 8
    .skip 16384
stack_top:
    .section .note.GNU-stack, "", @progbits
